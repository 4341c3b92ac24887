// Anthropic's Node client: messages.

import Anthropic from '@anthropic-ai/sdk';

import { TOOL, scenario, url } from './transcript.mjs';

const client = new Anthropic({ baseURL: url, apiKey: 'sk-ant-test', timeout: 20_000, maxRetries: 0 });

const asked = (model) => ({ model, max_tokens: 1000, messages: [{ role: 'user', content: 'Tell me, 世界' }] });

const streamed = (model, options) => async (seen) => {
  let text = '';
  for await (const event of await client.messages.create({ ...asked(model), stream: true }, options)) {
    seen.push(event);
    if (event.type === 'content_block_delta') text += event.delta.text;
  }
  return { text };
};

await scenario('messages text', streamed('text'));
await scenario('messages text, by the helper', async (seen) => {
  const stream = client.messages.stream(asked('text')).on('text', (text) => seen.push(text));
  return { text: await stream.finalText() };
});
await scenario('messages json', async () => ({ text: (await client.messages.create(asked('text'))).content[0].text }));
await scenario('messages tool', async (seen) => {
  const stream = client.messages.stream({ ...asked('tool'), tools: [{ name: 'weather', input_schema: TOOL }] });
  for await (const event of stream) seen.push(event);
  const call = (await stream.finalMessage()).content[0];
  return { tool: { name: call.name, arguments: call.input } };
});
for (const model of ['bad', 'denied', 'busy', 'failing', 'error', 'broken']) {
  await scenario(`messages ${model}`, streamed(model));
}
await scenario('messages broken, by the helper', async (seen) => {
  const stream = client.messages.stream(asked('broken')).on('text', (text) => seen.push(text));
  return { text: await stream.finalText() };
});
await scenario('messages busy-once', streamed('busy-once', { maxRetries: 2 }));
await scenario('messages silent', streamed('silent', { maxRetries: 1, timeout: 1000 }));
await scenario('messages endless', async (seen) => {
  const stream = await client.messages.create({ ...asked('endless'), stream: true });
  for await (const event of stream) {
    seen.push(event);
    if (seen.length === 8) stream.controller.abort();
  }
});
await scenario('messages endless, by the helper', async (seen) => {
  const stream = client.messages.stream(asked('endless')).on('text', (text) => {
    seen.push(text);
    if (seen.length === 8) stream.abort();
  });
  return { text: await stream.finalText() };
});
await scenario('messages text again', streamed('text'));
