/** Rounds that are begun no more often than every so often, however short they are. */
export class Rounds {
  readonly #every: number;
  readonly #clock: () => number;
  readonly #startedAt = new Map<string, number>();
  readonly #nextAt = new Map<string, number>();
  readonly #ended = new Set<string>();

  /** Milliseconds. */
  constructor(every: number, clock: () => number) {
    this.#every = every;
    this.#clock = clock;
  }

  /** Whether a round is under way, or the next may begin. It begins with this. */
  due(name: string): boolean {
    const now = this.#clock();
    if (now < (this.#nextAt.get(name) ?? -Infinity)) return false;
    if (!this.#startedAt.has(name)) this.#startedAt.set(name, now);
    return true;
  }

  end(name: string): void {
    this.#nextAt.set(name, (this.#startedAt.get(name) ?? this.#clock()) + this.#every);
    this.#startedAt.delete(name);
    this.#ended.add(name);
  }

  /** Whether all of these have ended a round since this was last so. */
  allEnded(names: readonly string[]): boolean {
    if (!names.every((name) => this.#ended.has(name))) return false;
    this.#ended.clear();
    return true;
  }
}
