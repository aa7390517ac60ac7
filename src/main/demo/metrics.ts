/** Counts and latencies, as they are shown. */

const recentKept = 1_500;

/** Latencies in milliseconds: all of them counted, the recent ones for percentiles. */
export class Latencies {
  #recent: number[] = [];
  #next = 0;
  count = 0;

  add(ms: number): void {
    this.count += 1;
    if (this.#recent.length < recentKept) this.#recent.push(ms);
    else {
      this.#recent[this.#next] = ms;
      this.#next = (this.#next + 1) % recentKept;
    }
  }

  /** Forgets what was measured so far. */
  clear(): void {
    this.#recent = [];
    this.#next = 0;
    this.count = 0;
  }

  /** Of the last 1,500 or so; undefined when there are none. */
  percentile(share: number): number | undefined {
    const sorted = this.#recent.toSorted((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  }
}

/** Events per second over the last three seconds. */
class Rate {
  readonly #times: number[] = [];

  note(now: number): void {
    this.#times.push(now);
    this.#drop(now);
  }

  perSecond(now: number): number {
    this.#drop(now);
    return this.#times.length / 3;
  }

  #drop(now: number): void {
    let old = 0;
    while (old < this.#times.length && (this.#times[old] ?? now) < now - 3_000) old += 1;
    if (old > 0) this.#times.splice(0, old);
  }
}

export class Metrics {
  sent = 0;
  accepted = 0;
  duplicate = 0;
  refused = 0;
  readonly reasons = new Map<string, number>();
  readonly rate = new Rate();
  readonly commands = new Latencies();
  readonly watch = new Latencies();

  answered(how: 'accepted' | 'duplicate', ms: number): void {
    this[how] += 1;
    this.#answered(ms);
  }

  refusedWith(reason: string, ms: number): void {
    this.refused += 1;
    this.reasons.set(reason, (this.reasons.get(reason) ?? 0) + 1);
    this.#answered(ms);
  }

  #answered(ms: number): void {
    this.commands.add(ms);
    this.rate.note(performance.now());
  }
}
