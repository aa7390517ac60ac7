/** One server process behind a proxy of its own: killed, stopped in its tracks, restarted, always by its pid. */
import { setTimeout as pause } from 'node:timers/promises';
import { type Connection, connect } from '../../src/main/client/connect.ts';
import { addressOf, startTallyback, type TallybackProcess } from '../support/tallyback-process.ts';
import type { FaultProxy } from './fault-proxy.ts';
import type { Journal } from './journal.ts';

// A test run that is ended from outside takes along what it has started.
const alive = new Set<TallybackProcess>();
process.once('exit', () => {
  for (const { child } of alive) child.kill('SIGKILL');
});

const startPatienceMs = 60_000;
const stopPatienceMs = 30_000;

export class Server {
  readonly name: string;
  readonly proxy: FaultProxy;
  /** Something is being done to its process. */
  busy = false;
  readonly #databaseUrl: string;
  readonly #cli: string;
  readonly #journal: Journal;
  #process: TallybackProcess | undefined;
  #connection: Connection | undefined;
  #output = '';

  constructor(name: string, databaseUrl: string, proxy: FaultProxy, cli: string, journal: Journal) {
    this.name = name;
    this.proxy = proxy;
    this.#cli = cli;
    this.#journal = journal;
    const url = new URL(databaseUrl);
    url.port = `${proxy.port}`;
    url.searchParams.set('application_name', name);
    this.#databaseUrl = url.href;
  }

  /** To call it by; undefined while it is down. */
  get connection(): Connection | undefined {
    return this.#connection;
  }

  /** Of all its lives. */
  get output(): string {
    return this.#output + (this.#process?.output() ?? '');
  }

  /** Tries again while it ends at once: it may not find its database for a while. */
  async start(): Promise<void> {
    const giveUpAt = performance.now() + startPatienceMs;
    for (;;) {
      const started = startTallyback(
        ['serve', '--listen', '127.0.0.1:0'],
        { DATABASE_URL: this.#databaseUrl },
        this.#cli,
      );
      this.#process = started;
      alive.add(started);
      try {
        this.#connection = connect(await addressOf(started));
        void started.exited.then((code) => this.#ended(started, code));
        return;
      } catch (error) {
        this.#gone(started);
        if (performance.now() > giveUpAt) throw error;
        await pause(200);
      }
    }
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** SIGTERM, as an operator stops it; it must end in time and say that all is well. */
  async stop(): Promise<void> {
    const running = this.#process;
    const tooLate = setTimeout(() => running?.child.kill('SIGKILL'), stopPatienceMs);
    const code = await this.#end('SIGTERM');
    clearTimeout(tooLate);
    if (code !== 0) this.#journal.violation(`a server stopped by SIGTERM ended with ${code}`);
  }

  freeze(): void {
    this.#process?.child.kill('SIGSTOP');
  }

  thaw(): void {
    this.#process?.child.kill('SIGCONT');
  }

  async #end(signal: 'SIGKILL' | 'SIGTERM'): Promise<number> {
    const running = this.#process;
    if (!running) return 0;
    this.#process = undefined;
    const code = await running.end(signal);
    this.#gone(running);
    return code;
  }

  /** Nobody asked it to. */
  #ended(which: TallybackProcess, code: number): void {
    if (which !== this.#process) return;
    this.#journal.violation(`${this.name} ended by itself with ${code}: ${which.output().slice(-500)}`);
    this.#process = undefined;
    this.#gone(which);
  }

  #gone(which: TallybackProcess): void {
    alive.delete(which);
    if (this.#process === which) this.#process = undefined;
    this.#output += which.output();
    this.#connection?.close();
    this.#connection = undefined;
  }
}
