// An application with Vercel's AI SDK: `/api/chat` answers a page's messages with the stream of a language model, as the SDK's
// documentation shows it. The model is that of `tests/producers`, in this process. The page's body says how it behaves.

import { createServer } from 'node:http';
import { once } from 'node:events';

import { createOpenAI } from '@ai-sdk/openai';
import { convertToModelMessages, jsonSchema, streamText, tool } from 'ai';

import { Model } from '../../producers/model.mjs';

const weather = tool({ inputSchema: jsonSchema({ type: 'object', properties: { city: { type: 'string' } } }) });

export class Chat {
  /** The requests of pages. */
  asked = [];
  #open = new Set();

  static async start() {
    const chat = new Chat();
    chat.model = await Model.start();
    chat.provider = createOpenAI({ baseURL: `${chat.model.url}/v1`, apiKey: 'sk-test' });
    chat.server = createServer((request, response) => chat.#answer(request, response)).listen(0, '127.0.0.1');
    await once(chat.server, 'listening');
    chat.url = `http://127.0.0.1:${chat.server.address().port}`;
    return chat;
  }

  stop() {
    this.model.stop();
    this.server.closeAllConnections();
    this.server.close();
  }

  /** Breaks every answer off. */
  breakOff() { for (const response of this.#open) response.destroy(); }

  async #answer(request, response) {
    this.#open.add(response);
    response.on('close', () => this.#open.delete(response));
    // What a gateway does for other pages the application has to do itself where there is none.
    response.setHeader('access-control-allow-origin', '*');
    response.setHeader('access-control-allow-headers', '*');
    if (request.method === 'OPTIONS') return response.writeHead(204).end();
    const pieces = [];
    for await (const piece of request) pieces.push(piece);
    const { messages, model } = JSON.parse(Buffer.concat(pieces));
    this.asked.push(model);
    if (model === 'busy') {
      return response.writeHead(429, { 'content-type': 'application/json', 'retry-after': '1' }).end('{"error":"busy"}');
    }
    const answer = streamText({
      model: this.provider.chat(model), messages: await convertToModelMessages(messages), tools: { weather }, maxRetries: 0,
      onError: () => {},
    });
    answer.pipeUIMessageStreamToResponse(response, { generateMessageId: () => 'answer-1' });
    return undefined;
  }
}
