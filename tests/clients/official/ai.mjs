// Vercel's AI SDK with its provider for OpenAI: chat completions and responses.

import { createOpenAI } from '@ai-sdk/openai';
import { generateText, jsonSchema, streamText, tool } from 'ai';

import { TOOL, described, scenario, url } from './transcript.mjs';

const provider = createOpenAI({ baseURL: `${url}/v1`, apiKey: 'sk-test' });
const tools = { weather: tool({ description: 'The weather', inputSchema: jsonSchema(TOOL) }) };

for (const name of ['chat', 'responses']) {
  const options = (model, more) => ({ model: provider[name](model), prompt: 'Tell me, 世界', maxRetries: 0, ...more });

  /** The parts of a stream that are the same in each run: all but times and random names. */
  const read = async (seen, options) => {
    let text = '';
    for await (const part of streamText({ onError: () => {}, ...options }).fullStream) {
      const { type, text: piece, input } = part;
      seen.push(type === 'error' ? { error: described(part.error) } : { type, text: piece, input });
      if (type === 'text-delta') text += piece;
      options.onPart?.(part);
    }
    return { text };
  };
  const streamed = (model, more) => (seen) => read(seen, options(model, more));

  await scenario(`${name} text`, streamed('text'));
  await scenario(`${name} json`, async () => ({ text: (await generateText(options('text'))).text }));
  await scenario(`${name} tool`, async (seen) => {
    const [call] = await streamText(options('tool', { tools })).toolCalls;
    return { tool: { name: call.toolName, arguments: call.input } };
  });
  for (const model of ['bad', 'denied', 'busy', 'failing', 'error', 'broken']) {
    await scenario(`${name} ${model}`, streamed(model));
  }
  await scenario(`${name} busy-once`, streamed('busy-once', { maxRetries: 2 }));
  await scenario(`${name} silent`, streamed('silent', { abortSignal: AbortSignal.timeout(1000) }));
  await scenario(`${name} endless`, async (seen) => {
    const controller = new AbortController();
    const onPart = () => { if (seen.length === 8) controller.abort(); };
    return read(seen, options('endless', { abortSignal: controller.signal, onPart }));
  });
}
