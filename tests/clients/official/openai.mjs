// OpenAI's Node client: chat completions and responses.

import OpenAI from 'openai';

import { TOOL, scenario, url } from './transcript.mjs';

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'sk-test', timeout: 20_000, maxRetries: 0 });
const fn = { name: 'weather', parameters: TOOL };

const chat = {
  create: (model, more, options) =>
    client.chat.completions.create({ model, messages: [{ role: 'user', content: 'Tell me, 世界' }], ...more }, options),
  stream: (model) => client.chat.completions.stream(
    { model, messages: [{ role: 'user', content: 'Tell me' }], tools: [{ type: 'function', function: fn }] }),
  text: (answer) => answer.choices[0].message.content,
  delta: (chunk) => chunk.choices?.[0]?.delta.content ?? '',
  called: async (stream) => (await stream.finalChatCompletion()).choices[0].message.tool_calls[0].function,
};

const responses = {
  create: (model, more, options) => client.responses.create({ model, input: 'Tell me, 世界', ...more }, options),
  stream: (model) => client.responses.stream(
    { model, input: 'Tell me', tools: [{ type: 'function', strict: false, ...fn }] }),
  text: (answer) => answer.output_text,
  delta: (event) => (event.type === 'response.output_text.delta' ? event.delta : ''),
  called: async (stream) => (await stream.finalResponse()).output[0],
};

for (const [name, api] of Object.entries({ chat, responses })) {
  const streamed = (model, options) => async (seen) => {
    let text = '';
    for await (const chunk of await api.create(model, { stream: true }, options)) {
      seen.push(chunk);
      text += api.delta(chunk);
    }
    return { text };
  };

  await scenario(`${name} text`, streamed('text'));
  await scenario(`${name} json`, async () => ({ text: api.text(await api.create('text')) }));
  await scenario(`${name} tool`, async (seen) => {
    const stream = api.stream('tool');
    for await (const event of stream) seen.push(event);
    const call = await api.called(stream);
    return { tool: { name: call.name, arguments: JSON.parse(call.arguments) } };
  });
  for (const model of ['bad', 'denied', 'busy', 'failing', 'error', 'broken']) {
    await scenario(`${name} ${model}`, streamed(model));
  }
  await scenario(`${name} busy-once`, streamed('busy-once', { maxRetries: 2 }));
  await scenario(`${name} silent`, streamed('silent', { maxRetries: 1, timeout: 1000 }));
  await scenario(`${name} endless`, async (seen) => {
    const stream = await api.create('endless', { stream: true });
    for await (const chunk of stream) {
      seen.push(chunk);
      if (seen.length === 8) stream.controller.abort();
    }
  });
  await scenario(`${name} endless, by a signal`, async (seen) => {
    const controller = new AbortController();
    for await (const chunk of await api.create('endless', { stream: true }, { signal: controller.signal })) {
      seen.push(chunk);
      if (seen.length === 8) controller.abort();
    }
  });
  await scenario(`${name} text again`, streamed('text'));
}
