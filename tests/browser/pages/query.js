// The parameters that a test passes to a page in its query:
//
//   url              the stream                        hook   `useEventStream` or `useEventSource`
//   types            further event types, with commas  close-on-error   the application's own handler calls `close`
//   prices           the component that docs/browser.md shows, instead of the readers
//   credentials      the hook is asked to send cookies

const query = new URLSearchParams(location.search);

export const asked = {
  url: query.get('url'),
  hook: query.get('hook') ?? 'useEventStream',
  types: query.get('types')?.split(',') ?? [],
  closesOnError: query.has('close-on-error'),
  prices: query.has('prices'),
  credentials: query.has('credentials'),
};
