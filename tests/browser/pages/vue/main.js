import { createApp } from 'vue';

import { asked } from '../query.js';
import App from './App.vue';
import Prices from './Prices.vue';

const app = asked.prices ? createApp(Prices, { url: asked.url, stateUrl: '/state' }) : createApp(App);
app.mount('#app');
