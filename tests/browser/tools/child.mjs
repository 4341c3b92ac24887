// A child process whose output is read line by line. It ends with the tests that started it.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

import { eventually } from './wait.mjs';

const running = new Set();
process.on('exit', () => { for (const child of running) child.kill('SIGKILL'); });

export class Child {
  /** Starts `command`. `lines` has its output and its error output. */
  constructor(command, args = []) {
    this.lines = [];
    this.process = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    running.add(this.process);
    this.ended = once(this.process, 'close').then(([code, signal]) => {
      running.delete(this.process);
      this.status = code ?? signal;
      return this.status;
    });
    for (const output of [this.process.stdout, this.process.stderr]) {
      createInterface({ input: output }).on('line', (line) => this.lines.push(line));
    }
  }

  /** Waits for a line that matches and returns the match. Fails with all lines if none comes. */
  async line(pattern) {
    const find = () => this.lines.map((line) => line.match(pattern)).find(Boolean);
    await eventually(`a line like ${pattern}`, () => find() || this.status !== undefined).catch(() => {});
    const found = find();
    if (!found) throw new Error(`no line like ${pattern}; status ${this.status}\n${this.lines.join('\n')}`);
    return found;
  }

  /** Sends a signal, waits for the end, and returns the exit status or the signal's name. */
  async stop(signal = 'SIGTERM') {
    if (this.status === undefined) this.process.kill(signal);
    return this.ended;
  }
}
