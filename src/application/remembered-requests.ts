/**
 * What became of a stream's requests.
 *
 * There are far more of them than of anything else in memory, so each is one short text and not a handful of objects:
 * collecting garbage takes as long as there are objects that stay, and a snapshot of texts is smaller and sooner read.
 */
import type { Refusal } from '../domain/aggregate.ts';
import { formatPosition, parsePosition, type Position } from '../eventstore/port.ts';

/** What became of a request. */
export interface StoredOutcome {
  readonly contentHash: string | undefined;
  readonly refusal: Refusal | undefined;
  readonly revision: number;
  readonly position: Position;
}

/** All of it as plain data: the n-th text belongs to the n-th id. */
export interface RequestMemory {
  readonly ids: readonly string[];
  readonly texts: readonly string[];
  readonly refusals: readonly (readonly [id: string, Refusal])[];
}

export class RememberedRequests {
  readonly #texts: Map<string, string>;
  readonly #refusals: Map<string, Refusal>;

  constructor(memory?: RequestMemory) {
    this.#texts = new Map(memory?.ids.map((id, n) => [id, memory.texts[n] ?? '']));
    this.#refusals = new Map(memory?.refusals);
  }

  get memory(): RequestMemory {
    return {
      ids: [...this.#texts.keys()],
      texts: [...this.#texts.values()],
      refusals: [...this.#refusals],
    };
  }

  /** Undefined for a request that wrote nothing here. */
  get(id: string): StoredOutcome | undefined {
    const text = this.#texts.get(id);
    if (text === undefined) return undefined;
    const [revision = '', at = '', contentHash] = text.split(' ');
    const position = parsePosition(at);
    if (!position) throw new Error(`"${text}" does not say what became of a request`);
    return { contentHash, refusal: this.#refusals.get(id), revision: Number(revision), position };
  }

  set(id: string, { contentHash, refusal, revision, position }: StoredOutcome): void {
    const parts = [revision, formatPosition(position)];
    // Joined, because a sum of texts keeps its parts in memory.
    this.#texts.set(id, (contentHash === undefined ? parts : [...parts, contentHash]).join(' '));
    if (refusal) this.#refusals.set(id, refusal);
  }
}
