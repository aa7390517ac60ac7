/**
 * Clients that send what the shop reports, each request to any server, until they know what became of it. Some give
 * up waiting, some ask two servers at once, some ask again what they know, some come back to it much later.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import { RpcError } from '../../src/main/client/unary.ts';
import type { House } from './house.ts';
import type { Request } from './requests.ts';
import type { Shop } from './shop.ts';

/** Unchanged: accepted, and nothing had to be done for it. */
export type Answer = 'accepted' | 'unchanged' | 'refused';

/** A request, and all that is known of it. */
export interface Asked {
  readonly request: Request;
  readonly answers: Set<Answer>;
  /** Times that it was sent. */
  sent: number;
  /** Times that it ended without an answer. */
  unknown: number;
}

const refusals: ReadonlySet<status> = new Set([
  status.INVALID_ARGUMENT,
  status.NOT_FOUND,
  status.ALREADY_EXISTS,
  status.FAILED_PRECONDITION,
]);

export class Clients {
  readonly asked: Asked[] = [];
  readonly #house: House;
  readonly #shop: Shop;
  readonly #random: () => number;
  /** Without an answer so far, and left for the end. */
  readonly #postponed: Asked[] = [];

  constructor(house: House, shop: Shop, random: () => number) {
    this.#house = house;
    this.#shop = shop;
    this.#random = random;
  }

  /** Sends what everything else needs. Rejects if that is not accepted in time. */
  async open(patienceMs: number): Promise<void> {
    const giveUpAt = performance.now() + patienceMs;
    const opened = await this.#settle(this.#note(this.#shop.opening()), () => performance.now() > giveUpAt);
    if (!opened) throw new Error('no server takes a first command');
  }

  /** So many at once, until the signal aborts; then what is open is settled, if that can be done in the time given. */
  async work(clients: number, signal: AbortSignal, settleMs: number): Promise<void> {
    let giveUpAt = Infinity;
    signal.addEventListener('abort', () => (giveUpAt = performance.now() + settleMs), { once: true });
    const late = (): boolean => performance.now() > giveUpAt;
    await Promise.all(Array.from({ length: clients }, () => this.#client(signal, late)));
    await Promise.all(this.#postponed.map((asked) => this.#settle(asked, late)));
  }

  async #client(signal: AbortSignal, late: () => boolean): Promise<void> {
    while (!signal.aborted) {
      const asked = this.#note(this.#shop.next());
      const patient = this.#random() < 0.9;
      const settled = await this.#settle(asked, () => !patient || late());
      if (!settled) this.#postponed.push(asked);
      else if (this.#random() < 0.1) await this.#send(asked);
      await pause(this.#random() * 40);
    }
  }

  summary(): string {
    const count = (holds: (asked: Asked) => boolean): number => this.asked.filter(holds).length;
    const sent = this.asked.reduce((sum, asked) => sum + asked.sent, 0);
    return (
      `${this.asked.length} requests sent ${sent} times; ${count(({ answers }) => answers.has('accepted'))} accepted, ` +
      `${count(({ answers }) => answers.has('refused'))} refused, ${count(({ unknown }) => unknown > 0)} unknown for a while`
    );
  }

  #note(request: Request): Asked {
    const asked = { request, answers: new Set<Answer>(), sent: 0, unknown: 0 };
    this.asked.push(asked);
    return asked;
  }

  /** Sends it until there is an answer, or `enough` says that it was tried enough. */
  async #settle(asked: Asked, enough: () => boolean): Promise<boolean> {
    for (;;) {
      const copies = this.#random() < 0.12 ? 2 : 1;
      await Promise.all(Array.from({ length: copies }, () => this.#send(asked)));
      if (asked.answers.size > 0) return true;
      if (enough()) return false;
      await pause(20 + this.#random() * 300);
    }
  }

  async #send(asked: Asked): Promise<void> {
    const { servers } = this.#house;
    const connection = servers[Math.floor(this.#random() * servers.length)]?.connection;
    if (!connection) return;
    const given = new AbortController();
    const leaves = this.#random() < 0.03;
    const leaving = leaves ? setTimeout(() => given.abort(), this.#random() * 50) : undefined;
    const deadlineMs = [400, 1_500, 5_000][Math.floor(this.#random() * 3)] ?? 5_000;
    asked.sent++;
    try {
      const { receipt } = await asked.request.send(connection, { signal: given.signal, deadlineMs });
      asked.answers.add(receipt?.unchanged === true ? 'unchanged' : 'accepted');
    } catch (error) {
      if (isRefusal(error)) asked.answers.add('refused');
      else asked.unknown++;
    } finally {
      clearTimeout(leaving);
    }
  }
}

/** The server understood, and said no, with a reason of its own. Anything else may or may not have been carried out. */
const isRefusal = (error: unknown): boolean =>
  error instanceof RpcError && refusals.has(error.failure.code) && error.failure.reason !== '';
