/**
 * What instances tell each other of who waits for what, so that the one that writes it hurries and the others look:
 *
 *   ask      somebody here waits for a position of something that is written elsewhere
 *   follow   somebody here is told of every advance of it; said again every second
 *   moved    it has been written here, and somebody elsewhere has asked for it, or follows it
 *
 * All of these are hints. Any of them may be lost: what nobody hurries for is saved a little later, and who waits looks at
 * the checkpoints from time to time anyway.
 */
import { comparePositions, formatPosition, parsePosition, type Position } from '../../eventstore/port.ts';
import type { Signals } from './storage.ts';

export interface InterestOptions {
  readonly signals: Signals;
  /** Tells apart who speaks. */
  readonly instance: string;
  readonly clock: () => number;
  /** How far it has been written here; undefined: it is written elsewhere. */
  readonly position: (name: string) => Position | undefined;
  /** Somebody elsewhere has begun to wait for it. */
  readonly wanted: (name: string) => void;
  /** It has advanced elsewhere. */
  readonly moved: (name: string) => void;
}

/** Milliseconds for which one who follows is remembered, and one who asked. */
const followedFor = 3_000;
const askedFor = 10_000;
/** Milliseconds between two times that it is said who follows. */
const sayAgain = 1_000;
/** A message of Postgres holds 8,000 bytes. */
const mostAsked = 50;

interface Asked {
  readonly position: Position;
  readonly at: number;
}

export class Interest {
  readonly #options: InterestOptions;
  readonly #stop = new AbortController();
  readonly #asked = new Map<string, Asked[]>();
  readonly #followed = new Map<string, number>();
  readonly #saidAt = new Map<string, number>();
  /** To be said with the next message. */
  #asking: (readonly [name: string, position: string])[] = [];
  #following = new Set<string>();
  #moving = new Set<string>();
  #speaking = false;

  constructor(options: InterestOptions) {
    this.#options = options;
    options.signals.listen((message) => this.#hear(message), this.#stop.signal);
  }

  ask(name: string, position: Position): void {
    if (this.#asking.length < mostAsked) this.#asking.push([name, formatPosition(position)]);
    this.#speak();
  }

  /** May be called as often as one likes. */
  follow(name: string): void {
    const now = this.#options.clock();
    if (now - (this.#saidAt.get(name) ?? -sayAgain) < sayAgain) return;
    this.#saidAt.set(name, now);
    this.#following.add(name);
    this.#speak();
  }

  /** It has been written here, up to a position. */
  written(name: string, position: Position): void {
    const asked = this.#asked.get(name);
    const open = asked?.filter((one) => comparePositions(one.position, position) > 0) ?? [];
    const isAnswer = open.length < (asked?.length ?? 0);
    if (isAnswer) this.#remember(name, open);
    if (!isAnswer && !this.#tellsAll(name)) return;
    this.#moving.add(name);
    this.#speak();
  }

  /** Whether somebody elsewhere waits for it, or is told of every advance. */
  isFollowed(name: string): boolean {
    const now = this.#options.clock();
    return this.#tellsAll(name) || Boolean(this.#asked.get(name)?.some(({ at }) => now - at < askedFor));
  }

  /** Whether somebody elsewhere waits for a position after the first and up to the second. */
  isWanted(name: string, after: Position, upTo: Position): boolean {
    const asked = this.#asked.get(name);
    return Boolean(
      asked?.some(
        ({ position }) => comparePositions(position, after) > 0 && comparePositions(position, upTo) <= 0,
      ),
    );
  }

  close(): void {
    this.#stop.abort();
  }

  /** Whether somebody elsewhere is told of every advance of it. */
  #tellsAll(name: string): boolean {
    return this.#options.clock() - (this.#followed.get(name) ?? -followedFor) < followedFor;
  }

  #remember(name: string, asked: Asked[]): void {
    if (asked.length > 0) this.#asked.set(name, asked);
    else this.#asked.delete(name);
  }

  /** One message at a time: what comes meanwhile goes with the next. */
  #speak(): void {
    if (this.#speaking) return;
    this.#speaking = true;
    void this.#sayAll();
  }

  async #sayAll(): Promise<void> {
    const { signals, instance } = this.#options;
    while (!this.#stop.signal.aborted) {
      // What is asked in the same turn goes together.
      await Promise.resolve();
      const said = { ask: this.#asking, follow: [...this.#following], moved: [...this.#moving] };
      if (said.ask.length + said.follow.length + said.moved.length === 0) break;
      [this.#asking, this.#following, this.#moving] = [[], new Set(), new Set()];
      await signals.tell(JSON.stringify({ from: instance, ...said })).catch(() => undefined);
    }
    // In the same turn as the last look: what comes later finds nobody speaking, and speaks.
    this.#speaking = false;
  }

  #hear(message: string): void {
    const heard = read(message);
    if (!heard || heard.from === this.#options.instance) return;
    const at = this.#options.clock();
    for (const [name, text] of heard.ask) {
      const position = parsePosition(text);
      const written = this.#options.position(name);
      // Only who writes something can answer, and so forget, who waits for it.
      if (!position || !written) continue;
      if (comparePositions(position, written) <= 0) this.#moving.add(name);
      else {
        const recent = (this.#asked.get(name) ?? []).filter((one) => at - one.at < askedFor);
        this.#remember(name, [...recent, { position, at }]);
        this.#options.wanted(name);
      }
    }
    if (this.#moving.size > 0) this.#speak();
    for (const name of heard.follow) {
      this.#followed.set(name, at);
      this.#options.wanted(name);
    }
    for (const name of heard.moved) this.#options.moved(name);
  }
}

interface Heard {
  readonly from: string;
  readonly ask: readonly (readonly [name: string, position: string])[];
  readonly follow: readonly string[];
  readonly moved: readonly string[];
}

/** Undefined for what no instance would say, of this release or another. */
function read(message: string): Heard | undefined {
  try {
    const said = JSON.parse(message) as Partial<Record<string, unknown>>;
    const { from, ask, follow, moved } = said;
    if (typeof from !== 'string' || ![ask, follow, moved].every(Array.isArray)) return undefined;
    return { from, ask: listOf(ask, isAsk), follow: listOf(follow, isName), moved: listOf(moved, isName) };
  } catch {
    return undefined;
  }
}

const isName = (one: unknown): one is string => typeof one === 'string';
const isAsk = (one: unknown): one is readonly [string, string] =>
  Array.isArray(one) && one.length === 2 && one.every(isName);

const listOf = <T>(list: unknown, is: (one: unknown) => one is T): readonly T[] =>
  Array.isArray(list) ? list.filter(is) : [];
