/**
 * One round: a fresh system under load and faults; then the faults end and everything must come right.
 *
 *   faults → the leader killed, another takes over → no new requests, open ones settled → all caught up → checked
 */
import { setTimeout as pause } from 'node:timers/promises';
import { chance } from '../support/chance.ts';
import { Clients } from './clients.ts';
import { House } from './house.ts';
import { Journal } from './journal.ts';
import { check } from './oracle/check.ts';
import type { RoundOptions } from './settings.ts';
import { rebateBps, Shop } from './shop.ts';
import { killLeader } from './takeover.ts';
import { awaitQuiet, watch } from './watch.ts';

export interface RoundPlan {
  readonly options: RoundOptions;
  /** What goes wrong, until the signal aborts; the system is whole when it resolves. */
  readonly faults: (house: House, random: () => number, signal: AbortSignal) => Promise<void>;
  /** Whether the faults are followed by the loss of the leader. */
  readonly losesLeader?: boolean;
  /** The server's program, if not the one that was built. */
  readonly cli?: string;
  /** Longest until all is settled and caught up once the faults are over. */
  readonly patienceMs?: number;
}

export interface Report {
  readonly violations: readonly string[];
  /** For people: figures, and with violations everything that was done. */
  readonly summary: string;
}

export async function playRound(plan: RoundPlan): Promise<Report> {
  const { options, faults, losesLeader = false, cli, patienceMs = 60_000 } = plan;
  const journal = new Journal();
  const house = await House.open({ servers: options.servers, cli }, journal);
  const [ending, watching, storm] = [new AbortController(), new AbortController(), new AbortController()];
  const clients = new Clients(house, new Shop(chance(options.seed + 1)), chance(options.seed + 2));
  const begun: Promise<unknown>[] = [];
  try {
    await clients.open(patienceMs);
    begun.push(watch(house, watching.signal));
    const work = clients.work(options.clients, ending.signal, patienceMs);
    begun.push(work);
    const troubles = faults(house, chance(options.seed + 3), storm.signal);
    begun.push(troubles);
    await Promise.race([pause(options.seconds * 1_000), troubles]);
    storm.abort();
    await troubles;
    journal.note('the faults are over');
    const takeover = losesLeader ? await killLeader(house, patienceMs) : undefined;
    ending.abort();
    await work;
    const quiet = await awaitQuiet(house, patienceMs);
    watching.abort();
    const verdict = await check(house.postgres, clients.asked, rebateBps);
    for (const violation of verdict.violations) journal.violation(violation);
    for (const { output } of house.servers)
      for (const line of output.split('\n').filter((one) => stumbles.test(one))) journal.violation(line);
    const { violations } = journal;
    const figures = [
      `seed ${options.seed}: ${clients.summary()}`,
      `${verdict.events} events, ${verdict.rows} rows checked`,
      `${losesLeader ? `taken over after ${seconds(takeover)}, ` : ''}caught up ${seconds(quiet)} after the last request`,
      `faults: ${[...journal.faults].map(([name, times]) => `${name} ${times}×`).join(', ')}`,
    ].join('\n  ');
    return { violations, summary: figures + (violations.length === 0 ? '' : details(options, journal)) };
  } catch (error) {
    throw new Error(`seed ${options.seed}: ${String(error)}${details(options, journal)}`, { cause: error });
  } finally {
    for (const phase of [storm, ending, watching]) phase.abort();
    await house.close();
    await Promise.allSettled(begun);
  }
}

/** What a server with a bug says, even if it goes on. */
const stumbles = /unhandled|TypeError|is not a function/i;

const seconds = (ms: number | undefined): string =>
  ms === undefined ? 'never' : `${(ms / 1_000).toFixed(1)} s`;

const details = (options: RoundOptions, journal: Journal): string =>
  `\n${journal.violations.slice(0, 20).join('\n')}\n${JSON.stringify(options)}\n${journal.text()}`;
