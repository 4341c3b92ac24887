// The answers of a language model in three protocols: OpenAI's chat completions and responses, and Anthropic's messages. Each
// protocol makes the events of an answer, their texts, a whole answer as JSON, and errors.

/** The pieces in which the model makes its text. One is long. */
const PIECES = [
  ...'Grüße an alle, 世界! 🦀 One answer,\nmany readers. '.match(/[^]{1,5}/gu), 'ünïcödé '.repeat(1000), 'The', ' end.',
];

export const TEXT = PIECES.join('');

const ARGUMENTS = ['{"ci', 'ty": "Zü', 'rich"', '}'];
const CREATED = 1_700_000_000;
const USAGE = {
  chat: { prompt_tokens: 7, completion_tokens: 9, total_tokens: 16 },
  responses: {
    input_tokens: 7, input_tokens_details: { cached_tokens: 0 }, output_tokens: 9, output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: 16,
  },
};

const chat = {
  path: '/v1/chat/completions',
  end: 'data: [DONE]\n\n',
  events({ model }, pieces = PIECES) {
    const chunk = (delta, finish_reason = null, more = {}) => event(undefined, {
      id: 'chatcmpl-1', object: 'chat.completion.chunk', created: CREATED, model,
      choices: [{ index: 0, delta, logprobs: null, finish_reason }], ...more,
    });
    const usage = chunk({}, null, { choices: [], usage: USAGE.chat });
    if (model === 'tool') {
      const call = (more, rest = {}) => chunk({ tool_calls: [{ index: 0, function: more, ...rest }] });
      return [
        chunk({ role: 'assistant', content: null }),
        call({ name: 'weather', arguments: '' }, { id: 'call_1', type: 'function' }),
        ...ARGUMENTS.map((piece) => call({ arguments: piece })),
        chunk({}, 'tool_calls'), usage,
      ];
    }
    return [
      chunk({ role: 'assistant', content: '' }),
      ...pieces.map((content) => chunk({ content })),
      chunk({}, 'stop'), usage,
    ];
  },
  whole: ({ model }) => ({
    id: 'chatcmpl-1', object: 'chat.completion', created: CREATED, model, usage: USAGE.chat,
    choices: [{ index: 0, message: { role: 'assistant', content: TEXT, refusal: null }, logprobs: null, finish_reason: 'stop' }],
  }),
  error: openAiError,
  errorEvent: () => event(undefined, { error: { message: 'The server had an error.', type: 'server_error', param: null, code: null } }),
};

const responses = {
  path: '/v1/responses',
  end: '',
  events({ model }, pieces = PIECES) {
    let number = 0;
    const said = (type, more) => event(type, { type, sequence_number: number++, ...more });
    const response = (status, output, more = {}) => ({
      id: 'resp_1', object: 'response', created_at: CREATED, status, model, output, error: null, incomplete_details: null,
      instructions: null, metadata: {}, parallel_tool_calls: true, temperature: 1, tool_choice: 'auto', tools: [], top_p: 1,
      usage: null, ...more,
    });
    const begin = [
      said('response.created', { response: response('in_progress', []) }),
      said('response.in_progress', { response: response('in_progress', []) }),
    ];
    const end = (item) => [
      said('response.output_item.done', { output_index: 0, item }),
      said('response.completed', { response: response('completed', [item], { usage: USAGE.responses }) }),
    ];
    if (model === 'tool') {
      const item = (status, given) =>
        ({ type: 'function_call', id: 'fc_1', call_id: 'call_1', name: 'weather', arguments: given, status });
      const place = { item_id: 'fc_1', output_index: 0 };
      const whole = ARGUMENTS.join('');
      return [
        ...begin,
        said('response.output_item.added', { output_index: 0, item: item('in_progress', '') }),
        ...ARGUMENTS.map((delta) => said('response.function_call_arguments.delta', { ...place, delta })),
        said('response.function_call_arguments.done', { ...place, name: 'weather', arguments: whole }),
        ...end(item('completed', whole)),
      ];
    }
    const part = (text) => ({ type: 'output_text', text, annotations: [], logprobs: [] });
    const item = (status, content) => ({ type: 'message', id: 'msg_1', status, role: 'assistant', content });
    const place = { item_id: 'msg_1', output_index: 0, content_index: 0 };
    const text = pieces.join('');
    return [
      ...begin,
      said('response.output_item.added', { output_index: 0, item: item('in_progress', []) }),
      said('response.content_part.added', { ...place, part: part('') }),
      ...pieces.map((delta) => said('response.output_text.delta', { ...place, delta, logprobs: [] })),
      said('response.output_text.done', { ...place, text, logprobs: [] }),
      said('response.content_part.done', { ...place, part: part(text) }),
      ...end(item('completed', [part(text)])),
    ];
  },
  whole: ({ model }) => ({
    id: 'resp_1', object: 'response', created_at: CREATED, status: 'completed', model, error: null, incomplete_details: null,
    instructions: null, metadata: {}, parallel_tool_calls: true, temperature: 1, tool_choice: 'auto', tools: [], top_p: 1,
    usage: USAGE.responses,
    output: [{
      type: 'message', id: 'msg_1', status: 'completed', role: 'assistant',
      content: [{ type: 'output_text', text: TEXT, annotations: [], logprobs: [] }],
    }],
  }),
  error: openAiError,
  errorEvent: () => event('error',
    { type: 'error', sequence_number: 9, code: 'server_error', message: 'The server had an error.', param: null }),
};

const messages = {
  path: '/v1/messages',
  end: '',
  events({ model }, pieces = PIECES) {
    const said = (type, more = {}) => event(type, { type, ...more });
    const begin = said('message_start', { message: {
      id: 'msg_1', type: 'message', role: 'assistant', model, content: [], stop_reason: null, stop_sequence: null,
      usage: { input_tokens: 7, output_tokens: 1 },
    } });
    const end = (stop_reason) => [
      said('content_block_stop', { index: 0 }),
      said('message_delta', { delta: { stop_reason, stop_sequence: null }, usage: { output_tokens: 9 } }),
      said('message_stop'),
    ];
    if (model === 'tool') {
      return [
        begin,
        said('content_block_start', { index: 0, content_block: { type: 'tool_use', id: 'toolu_1', name: 'weather', input: {} } }),
        said('ping'),
        ...ARGUMENTS.map((partial_json) =>
          said('content_block_delta', { index: 0, delta: { type: 'input_json_delta', partial_json } })),
        ...end('tool_use'),
      ];
    }
    return [
      begin,
      said('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }),
      said('ping'),
      ...pieces.map((text) => said('content_block_delta', { index: 0, delta: { type: 'text_delta', text } })),
      ...end('end_turn'),
    ];
  },
  whole: ({ model }) => ({
    id: 'msg_1', type: 'message', role: 'assistant', model, content: [{ type: 'text', text: TEXT }],
    stop_reason: 'end_turn', stop_sequence: null, usage: { input_tokens: 7, output_tokens: 9 },
  }),
  error: (type, message) => ({ type: 'error', error: { type, message }, request_id: 'req_1' }),
  errorEvent: () => event('error', { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } }),
};

export const PROTOCOLS = [chat, responses, messages];

function openAiError(type, message) {
  return { error: { message, type, param: null, code: type } };
}

function event(type, data) {
  return `${type ? `event: ${type}\n` : ''}data: ${JSON.stringify(data)}\n\n`;
}
