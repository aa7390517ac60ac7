/** The calls a server has open, and counts of what clients asked of it. */
import type { RpcKind } from './faults.ts';
import type { Refusal } from './refusals.ts';

/** Of calls: a `batchAppend` is a stream of appends, a `subscribe` a read without end. */
export type CallKind = RpcKind;

export interface OpenCall {
  readonly kind: CallKind;
  /** Index. */
  readonly node: number;
  /** With OK. */
  readonly end: () => void;
  readonly refuse: (refusal: Refusal) => void;
  /** What waits to be answered gets an unknown outcome. */
  readonly abandon?: () => void;
}

export class Calls {
  /** Appends that arrived in full, of either kind, whatever became of them. */
  appendsReceived = 0;
  /** Slow consumers: subscriptions ended for it, or sent back to catching up. */
  slowConsumers = 0;
  readonly #open = new Set<OpenCall>();
  readonly #started = new Map<CallKind, number>();

  /** How many are open now: a call that its client abandoned without cancelling it still is. */
  open(kind: CallKind): number {
    return [...this.#open].filter((call) => call.kind === kind).length;
  }

  started(kind: CallKind): number {
    return this.#started.get(kind) ?? 0;
  }

  /** Ends what is open of this kind with OK. */
  end(kind: CallKind): void {
    for (const call of this.#open) if (call.kind === kind) call.end();
  }

  /** Ends what is open of this kind with a status. */
  refuse(kind: CallKind, refusal: Refusal): void {
    for (const call of this.#open) if (call.kind === kind) call.refuse(refusal);
  }

  /** For the server's side. */
  add(call: OpenCall): () => void {
    this.#open.add(call);
    this.#started.set(call.kind, this.started(call.kind) + 1);
    return () => this.#open.delete(call);
  }

  of(node: number): readonly OpenCall[] {
    return [...this.#open].filter((call) => call.node === node);
  }
}
