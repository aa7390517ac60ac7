/** What was done to the system and what it showed, with times: printed when a round fails. */

export class Journal {
  readonly #startedAt = performance.now();
  readonly #lines: string[] = [];
  readonly #times = new Map<string, number>();
  readonly #violations = new Map<string, number>();

  note(line: string): void {
    const seconds = (performance.now() - this.#startedAt) / 1_000;
    this.#lines.push(`${seconds.toFixed(2).padStart(8)} s  ${line}`);
  }

  /** One more of these faults. */
  fault(name: string, detail: string): void {
    this.#times.set(name, (this.#times.get(name) ?? 0) + 1);
    this.note(detail === '' ? name : `${name}: ${detail}`);
  }

  /** A promise that was broken; the same words are kept once. */
  violation(what: string): void {
    const times = this.#violations.get(what) ?? 0;
    this.#violations.set(what, times + 1);
    if (times === 0) this.note(`VIOLATION ${what}`);
  }

  get violations(): readonly string[] {
    return [...this.#violations.keys()];
  }

  get faults(): ReadonlyMap<string, number> {
    return this.#times;
  }

  text(): string {
    return this.#lines.join('\n');
  }
}
