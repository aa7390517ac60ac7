/** What goes wrong, and when: a test says so in advance, and nothing here is left to chance. */
import type { Refusal } from './refusals.ts';

/** A batch append is one append; its stream of them is never counted. */
export type RpcKind =
  'features' | 'gossip' | 'batchAppend' | 'append' | 'read' | 'subscribe' | 'delete' | 'tombstone';

export type Fault =
  /** Never answered; the call stays open. */
  | { readonly kind: 'hang' }
  /**
   * Waits until the rule is released. A request held back is carried out then, also if its client has gone: as one that
   * a node passed on, and cannot take back.
   */
  | { readonly kind: 'hold' }
  | { readonly kind: 'delay'; readonly ms: number }
  /** Cuts the connection the call came by. */
  | { readonly kind: 'drop' }
  /** Ends the stream with OK; a call that has one answer only hangs. */
  | { readonly kind: 'end' }
  /** A batch append only. */
  | { readonly kind: 'twice' }
  | { readonly kind: 'refuse'; readonly refusal: Refusal };

export interface FaultRule {
  readonly on: RpcKind | readonly RpcKind[];
  readonly fault: Fault;
  /** `request`: nothing was done yet. `answer`: it was done, and stored. `twice` is always at the answer. */
  readonly at?: 'request' | 'answer';
  /** `$all` where all streams are read. */
  readonly stream?: string | ((stream: string) => boolean);
  /** Index of the node. */
  readonly node?: number;
  /** Reads and subscriptions: strikes when so many events were sent. */
  readonly afterEvents?: number;
}

/** A rule in force. */
export interface ActiveRule {
  readonly hits: number;
  /** Resolves when it has struck so often. */
  readonly struck: (hits?: number) => Promise<void>;
  /** Strikes no more, and lets go what it holds. */
  readonly release: () => void;
}

export interface Occasion {
  readonly rpc: RpcKind;
  readonly at: 'request' | 'answer';
  readonly node: number;
  readonly stream?: string;
}

export class Faults {
  #rules: Rule[] = [];
  #stalled = false;
  readonly #onResume = new Set<() => void>();
  /** Answers idempotent repeats without a position, as a server does that cannot read the original. */
  replaysWithoutPosition = false;

  /** Strikes the next `times` occasions. The oldest rule that fits an occasion has it. */
  next(rule: FaultRule, times = 1): ActiveRule {
    return this.#add(rule, times);
  }

  /** Strikes until it is released. */
  always(rule: FaultRule): ActiveRule {
    return this.#add(rule, Infinity);
  }

  /** Releases every rule, and resumes what is stalled. */
  clear(): void {
    for (const rule of this.#rules) rule.release();
    this.#rules = [];
    this.resumeSubscriptions();
  }

  /** Subscriptions stay connected and are sent nothing more, whatever is stored. */
  stallSubscriptions(): void {
    this.#stalled = true;
  }

  resumeSubscriptions(): void {
    this.#stalled = false;
    for (const listener of this.#onResume) listener();
  }

  get subscriptionsStalled(): boolean {
    return this.#stalled;
  }

  onResume(listener: () => void): () => void {
    this.#onResume.add(listener);
    return () => this.#onResume.delete(listener);
  }

  /** For the server's side: the rule that strikes now. It counts as having struck. */
  strike(occasion: Occasion): Rule | undefined {
    if (this.#rules.length === 0) return undefined;
    const rule = this.#rules.find((candidate) => !candidate.isSpent && candidate.fits(occasion));
    rule?.hit();
    // What it holds can still be released.
    if (rule?.isSpent && rule.fault.kind !== 'hold')
      this.#rules = this.#rules.filter((other) => other !== rule);
    return rule;
  }

  #add(rule: FaultRule, times: number): Rule {
    const added = new Rule(rule, times);
    this.#rules.push(added);
    return added;
  }
}

export class Rule implements ActiveRule {
  readonly fault: Fault;
  readonly afterEvents: number;
  hits = 0;
  readonly #rule: FaultRule;
  #left: number;
  #resolveReleased: () => void = () => undefined;
  /** Resolves on release. */
  readonly released = new Promise<void>((resolve) => {
    this.#resolveReleased = resolve;
  });
  #watchers: { readonly hits: number; readonly resolve: () => void }[] = [];

  constructor(rule: FaultRule, times: number) {
    this.#rule = rule;
    this.#left = times;
    this.fault = rule.fault;
    this.afterEvents = rule.afterEvents ?? 0;
  }

  get isSpent(): boolean {
    return this.#left <= 0;
  }

  fits({ rpc, at, node, stream }: Occasion): boolean {
    const rule = this.#rule;
    const wanted = rule.fault.kind === 'twice' ? 'answer' : (rule.at ?? 'request');
    if (at !== wanted || (rule.node !== undefined && rule.node !== node)) return false;
    if (typeof rule.on === 'string' ? rule.on !== rpc : !rule.on.includes(rpc)) return false;
    if (rule.stream === undefined) return true;
    if (stream === undefined) return false;
    return typeof rule.stream === 'string' ? rule.stream === stream : rule.stream(stream);
  }

  hit(): void {
    this.#left--;
    this.hits++;
    this.#watchers = this.#watchers.filter(({ hits, resolve }) => {
      if (hits <= this.hits) resolve();
      return hits > this.hits;
    });
  }

  struck = (hits = 1): Promise<void> => {
    if (this.hits >= hits) return Promise.resolve();
    return new Promise((resolve) => {
      this.#watchers.push({ hits, resolve });
    });
  };

  release = (): void => {
    this.#left = 0;
    this.#resolveReleased();
  };
}
