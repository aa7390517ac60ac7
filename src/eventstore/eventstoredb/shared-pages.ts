/**
 * The last pages of the log that were read, for subscribers that read the same part of it at the same time, as all
 * read models do when they are folded anew: each page is fetched and decoded once for all of them.
 */
import { formatPosition, type Position } from '../port.ts';
import type { LogPage } from './reader.ts';

export class SharedPages {
  readonly #read: (after: Position) => Promise<LogPage>;
  readonly #most: number;
  /** Oldest first. */
  readonly #pages = new Map<string, Promise<LogPage>>();

  constructor(read: (after: Position) => Promise<LogPage>, most: number) {
    this.#read = read;
    this.#most = most;
  }

  /** A page after a position, as of some moment after this call. */
  async after(position: Position): Promise<LogPage> {
    const key = formatPosition(position);
    // A full page stays as it is; one that stopped for want of events tells of an earlier moment.
    const known = await this.#pages.get(key)?.catch(() => undefined);
    if (known?.full) return known;
    const reading = this.#read(position);
    this.#pages.delete(key);
    this.#pages.set(key, reading);
    const [oldest] = this.#pages.keys();
    if (oldest !== undefined && this.#pages.size > this.#most) this.#pages.delete(oldest);
    return reading;
  }
}
