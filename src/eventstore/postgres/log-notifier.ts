/**
 * Tells other processes that the log has grown: a NOTIFY with the last position, after the commit, on another
 * connection than the appends', at most once per interval (NOTIFY takes a lock the whole cluster shares).
 * Only a hint: failures are dropped, and followers poll anyway.
 */
export const channel = 'tallyback_log';

export class LogNotifier {
  readonly #send: (position: number) => Promise<void>;
  readonly #interval: number;
  readonly #stop: AbortSignal;
  readonly #pause: (milliseconds: number, signal: AbortSignal) => Promise<void>;
  #newest = 0;
  #running = false;

  /** `interval` in milliseconds. */
  constructor(
    send: (position: number) => Promise<void>,
    interval: number,
    stop: AbortSignal,
    pause: (milliseconds: number, signal: AbortSignal) => Promise<void>,
  ) {
    this.#send = send;
    this.#interval = interval;
    this.#stop = stop;
    this.#pause = pause;
  }

  committed(position: number): void {
    this.#newest = Math.max(this.#newest, position);
    if (!this.#running) void this.#run();
  }

  async #run(): Promise<void> {
    this.#running = true;
    let sent = 0;
    while (sent < this.#newest && !this.#stop.aborted) {
      sent = this.#newest;
      await this.#send(sent).catch(() => undefined);
      await this.#pause(this.#interval, this.#stop);
    }
    this.#running = false;
  }
}
