/**
 * Keeps the tail fresh while somebody follows it, whoever appends. Two loops, each healing itself:
 *   listen  LISTEN on a connection of its own; reconnects for ever with growing, jittered pauses
 *   poll    asks the log when nothing has been heard: every 50 ms, slowing to 250 ms while nothing comes.
 *           A tail that has moved since the last look needs no poll: moving proved it complete.
 * Polling alone is enough for correctness; listening makes it quick.
 */
import type { Client } from 'pg';
import { endClient } from './database.ts';
import { backoff, type Edges } from '../edges.ts';
import { channel } from './log-notifier.ts';
import { errorText, type StoreLog } from '../log.ts';
import type { LogTail } from './log-tail.ts';

export interface WatchOptions {
  /** Milliseconds between polls, at first and at most. */
  readonly poll: { readonly least: number; readonly most: number };
  /** Off: polling only. */
  readonly listen: boolean;
}

export class LogWatch {
  readonly #tail: LogTail;
  readonly #connect: () => Client;
  readonly #options: WatchOptions;
  readonly #edges: Edges;
  readonly #log: StoreLog;
  #stop: AbortController | undefined;
  /** Those that have not ended yet, also of earlier times. */
  readonly #loops = new Set<Promise<void>>();

  constructor(tail: LogTail, connect: () => Client, options: WatchOptions, edges: Edges, log: StoreLog) {
    this.#tail = tail;
    this.#connect = connect;
    this.#options = options;
    this.#edges = edges;
    this.#log = log;
  }

  /** Starts or stops watching, as the tail is followed or not. */
  update(): void {
    if (this.#tail.followed && !this.#stop) {
      this.#stop = new AbortController();
      const { signal } = this.#stop;
      this.#keep(this.#poll(signal));
      if (this.#options.listen) this.#keep(this.#listen(signal));
    } else if (!this.#tail.followed && this.#stop) {
      this.#stop.abort();
      this.#stop = undefined;
    }
  }

  async close(): Promise<void> {
    this.#stop?.abort();
    await Promise.all(this.#loops);
  }

  #keep(loop: Promise<void>): void {
    this.#loops.add(loop);
    void loop.finally(() => this.#loops.delete(loop));
  }

  async #poll(signal: AbortSignal): Promise<void> {
    const { least, most } = this.#options.poll;
    let pause = least;
    let failures = 0;
    let seen = this.#tail.last;
    while (!signal.aborted) {
      await this.#edges.pause(failures > 0 ? backoff(failures, this.#edges.random) : pause, signal);
      if (signal.aborted) return;
      if (this.#tail.last === seen || failures > 0) {
        failures = (await this.#refresh(failures)) ? 0 : failures + 1;
      }
      pause = this.#tail.last === seen ? Math.min(most, pause * 1.5) : least;
      seen = this.#tail.last;
    }
  }

  async #refresh(failures: number): Promise<boolean> {
    try {
      await this.#tail.refresh();
      if (failures > 0) this.#log('info', 'event log can be read again');
      return true;
    } catch (error) {
      if (failures === 0) this.#log('warn', 'event log cannot be read', { error: errorText(error) });
      return false;
    }
  }

  async #listen(signal: AbortSignal): Promise<void> {
    // One listener for the whole loop: the signal lives as long as it, connections may not.
    let hangUp: (() => void) | undefined;
    signal.addEventListener('abort', () => hangUp?.(), { once: true });
    for (let attempt = 0; !signal.aborted; attempt++) {
      const client = this.#connect();
      const ended = new Promise<void>((resolve) => {
        client.once('end', resolve);
        client.once('error', () => resolve());
        hangUp = resolve;
      });
      try {
        client.on('notification', ({ payload }) => {
          if (Number(payload) > this.#tail.last) this.#hinted();
        });
        await client.connect();
        await client.query(`LISTEN ${channel}`);
        attempt = 0;
        // What was announced while nobody listened.
        this.#hinted();
        await ended;
      } catch (error) {
        this.#log('debug', 'cannot listen for appends of other processes', { error: errorText(error) });
      }
      await endClient(client);
      await this.#edges.pause(backoff(attempt, this.#edges.random), signal);
    }
  }

  #hinted(): void {
    // A failure is the poll loop's to report and repeat.
    this.#tail.refresh().catch(() => undefined);
  }
}
