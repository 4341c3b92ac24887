// Builds the pages that the tests open. They use React, Vue, a fetch-based client, Datastar, htmx and Vercel's AI SDK; one page
// reads only while it is shown.

import { join } from 'node:path';

import vue from '@vitejs/plugin-vue';
import { defineConfig } from 'vite';

const page = (name) => join(import.meta.dirname, 'pages', name, 'index.html');

export default defineConfig({
  root: 'pages',
  plugins: [vue()],
  build: {
    outDir: '../dist',
    emptyOutDir: true,
    target: 'es2022',
    rollupOptions: {
      input: { react: page('react'), vue: page('vue'), fetch: page('fetch'), shown: page('shown'), datastar: page('datastar'),
        htmx: page('htmx'), chat: page('chat') },
      // Directives for servers, in packages of the AI SDK.
      onLog: (level, log, handle) => { if (log.code !== 'MODULE_LEVEL_DIRECTIVE') handle(level, log); },
    },
  },
});
