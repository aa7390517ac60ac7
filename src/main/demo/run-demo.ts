/** `tallyback demo`: plays a shop through the API of a running instance, shows it live, checks the result. */
import { setMaxListeners } from 'node:events';
import { pause } from '../client/backoff.ts';
import { connect } from '../client/connect.ts';
import { awaitEffects } from '../client/effects.ts';
import { watchBalances } from './balance-watch.ts';
import { catalogue, type Merchant, ruleSetOf } from './catalogue.ts';
import { chance } from './chance.ts';
import { check } from './check.ts';
import { received } from './counter.ts';
import { type Feeds, refresh } from './feeds.ts';
import { Metrics } from './metrics.ts';
import { type Player, player } from './player.ts';
import type { LogEntry } from './recompute.ts';
import { openScreen, style } from './screen.ts';
import { shop } from './shop.ts';
import { checkLines } from './verdict.ts';
import { frame, oneLine, type Scene } from './view.ts';

export interface DemoOptions {
  /** Address of the gRPC API of an instance that nobody else uses: HOST:PORT. */
  readonly target: string;
  readonly seed: number;
  /** How long the shop is open; default 25. Starting and checking come on top. */
  readonly seconds?: number;
  /** The whole log, from the first event to the last. */
  readonly readLog: () => AsyncIterable<LogEntry>;
}

export interface DemoIo {
  readonly out: NodeJS.WritableStream;
  readonly isTTY: boolean;
  readonly signal: AbortSignal;
  readonly clock: () => Date;
}

// Two days of shop time a second: holds of days mature while one looks on.
const openingTime = Date.parse('2026-03-02T08:00:00Z');
const shopMsPerMs = 2 * 86_400;
const tickMs = 10;
const waitForEffectsMs = 60_000;

/** Commands a second, as the day goes: between 150 and 300. */
const ratePerSecond = (elapsedMs: number): number => 225 - 75 * Math.cos(elapsedMs / 4_000);

/** Exit code: 0 when every read model equals what the log says. */
export async function runDemo(options: DemoOptions, io: DemoIo): Promise<number> {
  const { seed, seconds = 25 } = options;
  const { out, isTTY } = io;
  // Every call under way listens to it.
  const signal = AbortSignal.any([io.signal]);
  setMaxListeners(0, signal);
  const s = style(isTTY && process.env['NO_COLOR'] === undefined);
  const connection = connect(options.target);
  const metrics = new Metrics();
  const watch = watchBalances(connection, (ms) => metrics.watch.add(ms));
  const feeds: Feeds = { checkpoints: [], stock: [], days: [], hours: [] };
  const playing = new AbortController();
  const stopFeeds = (): void => playing.abort();
  signal.addEventListener('abort', stopFeeds, { once: true });

  const actor = player({ connection, metrics, watch, signal });
  let stage = 'opening';
  let elapsedMs = 0;
  const shopTime = (): Date => new Date(openingTime + Math.round(elapsedMs * shopMsPerMs));
  const scene = (): Scene => ({
    metrics,
    feeds,
    balances: [...watch.held()],
    watchMessages: watch.messages,
    waiting: actor.waiting,
    shopTime: shopTime(),
    elapsed: elapsedMs / 1_000,
    seconds,
    seed,
    stage,
  });
  const screen = isTTY ? openScreen(out) : undefined;
  const show = (): void => {
    if (screen) screen.draw(frame(scene(), s));
    else out.write(`${oneLine(scene())}\n`);
  };
  const redraw = setInterval(show, isTTY ? 250 : 2_000);
  const fresh = refresh(feeds, connection, shopTime, playing.signal);

  try {
    const merchants = catalogue(chance(seed));
    await open(actor, merchants, seed);
    // The opening came all at once: its queue says nothing about a shop's day.
    metrics.commands.clear();
    stage = 'playing';
    await perform(actor, merchants, options, signal, (ms) => (elapsedMs = ms));
    stage = 'waiting for the last answers';
    await actor.answered();
    stage = 'waiting for effects';
    const patience = { signal, lagPatienceMs: waitForEffectsMs, patienceMs: 10_000 };
    const token = await awaitEffects(connection, patience);
    stage = 'checking';
    const result = await check({ connection, token, signal }, options.readLog(), () => watch.held());
    stage = 'done';
    clearInterval(redraw);
    playing.abort();
    await fresh;
    screen?.close();
    for (const line of [...(screen ? frame(scene(), s) : [oneLine(scene())]), '', ...checkLines(result, s)])
      out.write(`${line}\n`);
    return result.equal ? 0 : 1;
  } catch (error) {
    if (!signal.aborted) throw error;
    screen?.close();
    out.write('Interrupted; nothing was checked.\n');
    return 130;
  } finally {
    clearInterval(redraw);
    screen?.close();
    playing.abort();
    signal.removeEventListener('abort', stopFeeds);
    await fresh;
    watch.stop();
    await actor.close();
    connection.close();
  }
}

/** Of the opening: the instance is private, so that nobody else uses them. */
const openingId = (merchant: number, item: number): string =>
  `00000000-0000-4000-8000-${String(merchant).padStart(6, '0')}${String(item).padStart(6, '0')}`;

/** Programmes and some stock, before the first customer comes. */
async function open(actor: Player, merchants: readonly Merchant[], seed: number): Promise<void> {
  const random = chance(~seed);
  const at = new Date(openingTime);
  merchants.forEach((merchant, index) => {
    const value = ruleSetOf(merchant, openingId(index, 0), at);
    actor.play({ via: 'unary', command: { $case: 'publishRuleSet', value } });
  });
  // Orders are evaluated under the rules that are in the log before them.
  await actor.answered();
  merchants.forEach((merchant, index) =>
    merchant.products.forEach((product, item) => {
      if (product.service) return;
      const id = (n: number): string => openingId(index, 1 + 2 * item + n);
      const value = {
        merchant: merchant.name,
        sku: product.sku,
        occurredAt: at,
        allowNegative: item % 4 !== 0,
      };
      actor.play({ via: 'ingest', record: { $case: 'defineItem', value: { requestId: id(0), ...value } } });
      actor.play(received(merchant, product.sku, id(1), at, BigInt(random.between(20, 400))));
    }),
  );
  await actor.answered();
}

/** Act n comes at a moment that follows from n alone: the shop is the same however fast the server is. */
async function perform(
  actor: Player,
  merchants: Parameters<typeof shop>[1],
  { seed, seconds = 25 }: DemoOptions,
  signal: AbortSignal,
  onTime: (elapsedMs: number) => void,
): Promise<void> {
  const random = chance(seed ^ 0x5f3759df);
  const play = shop(random, merchants);
  const startedAt = performance.now();
  let dueMs = 0;
  while (dueMs < seconds * 1_000) {
    const elapsed = performance.now() - startedAt;
    for (; dueMs <= elapsed && dueMs < seconds * 1_000; dueMs += 1_000 / ratePerSecond(dueMs))
      actor.play(play.next(new Date(openingTime + Math.round(dueMs * shopMsPerMs))));
    onTime(Math.min(dueMs, seconds * 1_000));
    await pause(tickMs, signal);
  }
}
