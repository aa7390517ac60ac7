/** A round: clients watch while commands, rebuilds and restarts go on and their network fails; then all becomes quiet. */
import { setTimeout as pause } from 'node:timers/promises';
import { RpcError } from '../../src/main/client/unary.ts';
import { Journal } from '../crash/journal.ts';
import { chance } from '../support/chance.ts';
import type { ServedStore } from '../support/served-stores.ts';
import { House } from './house.ts';
import type { Known } from './inspector.ts';
import * as kinds from './kinds.ts';
import { Operations } from './operations.ts';
import { type Command, Shop } from './shop.ts';
import { type Scene, startWatcher, type Watcher } from './watcher.ts';

export interface RoundOptions {
  readonly seed: number;
  readonly seconds: number;
  /** Of each kind. */
  readonly watchers: number;
  /** How long a client may take to converge. */
  readonly patienceMs?: number;
}

const senders = 6;

export interface Round {
  readonly journal: Journal;
  readonly commands: number;
  readonly messages: number;
}

export async function playRound(store: ServedStore, options: RoundOptions): Promise<Round> {
  const { seed, seconds, patienceMs = 20_000 } = options;
  const journal = new Journal();
  const house = await House.open(store, journal);
  const watchers: Watcher[] = [];
  const commands = new Commands(house, journal, chance(seed));
  const loud = new AbortController();
  try {
    const operations = new Operations(house, journal, chance(seed + 1));
    await commands.open();
    const scene: Scene = {
      house,
      journal,
      known: commands.known,
      lastToken: () => commands.lastToken,
      mayReturn: () => operations.rolledBack,
    };
    const start = (n: number): Promise<Watcher>[] => {
      const random = (kind: number): (() => number) => chance(seed + 100 * kind + n);
      return [
        startWatcher(`balances ${n}`, kinds.balances, random(1), scene),
        startWatcher(`statement ${n}`, kinds.statements, random(2), scene),
        startWatcher(`orders ${n}`, kinds.documents, random(3), scene),
        startWatcher(`windows ${n}`, kinds.windows, random(4), scene),
        startWatcher(`stock ${n}`, kinds.stocks, random(5), scene),
      ];
    };
    for (let n = 0; n < options.watchers; n++) watchers.push(...(await Promise.all(start(n))));
    const sending = Array.from({ length: senders }, () => commands.send(loud.signal));
    const troubles = watchers.map((watcher) => watcher.trouble(loud.signal));
    const operating = [operations.keepPuttingRight(loud.signal), operations.keepExchanging(loud.signal)];
    await pause(seconds * 1_000);
    loud.abort();
    await Promise.all([...sending, ...troubles, ...operating]);
    journal.note('quiet');
    for (const watcher of watchers) watcher.heal();
    await Promise.all(watchers.map((watcher) => converge(watcher, patienceMs, journal)));
  } finally {
    loud.abort();
    await Promise.all(watchers.map((watcher) => watcher.close()));
    await house.close();
  }
  const messages = watchers.reduce((sum, watcher) => sum + watcher.messages, 0);
  return { journal, commands: commands.count, messages };
}

/** Without anything happening any more: what has not come by then is lost. */
async function converge(watcher: Watcher, patienceMs: number, journal: Journal): Promise<void> {
  const until = performance.now() + patienceMs;
  let difference = '';
  do {
    difference = await watcher.difference();
    if (difference === '') return;
    await pause(100);
  } while (performance.now() < until);
  journal.violation(`${watcher.name}: ${difference}`);
}

class Commands {
  readonly known: Known[] = [];
  lastToken = '';
  count = 0;
  readonly #house: House;
  readonly #journal: Journal;
  readonly #random: () => number;
  readonly #shop: Shop;

  constructor(house: House, journal: Journal, random: () => number) {
    this.#house = house;
    this.#journal = journal;
    this.#random = random;
    this.#shop = new Shop(random);
  }

  async open(): Promise<void> {
    for (const request of this.#shop.openings()) await this.#carryOut({ request, effects: () => [] });
  }

  async send(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#carryOut(this.#shop.next());
      await pause(this.#random() * 15);
    }
  }

  async #carryOut(command: Command): Promise<void> {
    for (;;) {
      try {
        const { connection } = this.#house.any(Math.floor(this.#random() * 2));
        const sending = new AbortController();
        const { receipt } = await command.request.send(connection, {
          signal: sending.signal,
          deadlineMs: 5_000,
        });
        const position = this.#house.decode(receipt?.positionToken ?? '');
        if (!receipt || !position) throw new Error(`no token for ${command.request.kind}`);
        this.count++;
        this.lastToken = receipt.positionToken;
        if (!receipt.duplicate)
          for (const effect of command.effects(receipt)) this.known.push({ ...effect, position });
        return;
      } catch (error) {
        if (!(error instanceof RpcError)) throw error;
        const { codeName, reason } = error.failure;
        if (reason !== '' && codeName !== 'UNAVAILABLE') return;
        this.#journal.note(`${command.request.kind} again: ${error.message}`);
        await pause(50);
      }
    }
  }
}
