// A page with the React hook of Vercel's AI SDK. It keeps the URL of the answer, so that a reload reads it from its beginning.
//
//   url     the application's interface for messages
//   model   how the model behaves

import { useChat } from '@ai-sdk/react';
import { DefaultChatTransport } from 'ai';
import { createRoot } from 'react-dom/client';

const query = new URLSearchParams(location.search);
const api = query.get('url');
const question = { id: 'question-1', role: 'user', parts: [{ type: 'text', text: 'Tell me, 世界' }] };

const transport = new DefaultChatTransport({
  api,
  body: { model: query.get('model') },
  fetch: async (input, init) => {
    const response = await fetch(input, init);
    const location = response.headers.get('content-location');
    if (location) sessionStorage.setItem('answer', new URL(location, api).href);
    return response;
  },
  prepareReconnectToStreamRequest: () => ({ api: sessionStorage.getItem('answer') }),
});

const isReloaded = sessionStorage.getItem('answer') !== null;

function Chat() {
  const { messages, status, error, sendMessage, stop } = useChat({
    id: 'chat-1', transport, resume: isReloaded, messages: isReloaded ? [question] : [],
  });
  // Read by the test.
  window.shown = { messages, status, error: error?.message ?? null };
  return (
    <main>
      <pre>{messages.flatMap(({ parts }) => parts).map(({ text }) => text).join('\n')}</pre>
      <button onClick={() => sendMessage(question)}>Ask</button>
      <button onClick={stop}>Stop</button>
    </main>
  );
}

createRoot(document.getElementById('app')).render(<Chat />);
