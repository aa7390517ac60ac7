/**
 * Keeps records in order where order counts, and lets the others run side by side.
 *
 * A record belongs to the lane of its stream and, if it has one, of its member. It is in every lane in order of
 * arrival, and starts when all its lanes let it. A lane lets one in when it is empty — or when those inside are of
 * the same stream and have all started: the command bus keeps order within a stream by itself, and can then store
 * them together.
 *
 *   add → queued in its lanes → admitted by each → started (all admitted) → done
 */
export interface Task {
  readonly stream: string;
  /** Empty: nobody's. */
  readonly member: string;
  start(): void;
}

interface Lane {
  readonly name: string;
  stream: string;
  /** Admitted and not done; of these, not started yet. */
  inside: number;
  unstarted: number;
  readonly queue: Entry[];
}

interface Entry {
  readonly task: Task;
  readonly lanes: readonly Lane[];
  /** Lanes that have not admitted it. */
  awaited: number;
}

export class Lanes {
  readonly #lanes = new Map<string, Lane>();
  readonly #started = new Map<Task, readonly Lane[]>();

  add(task: Task): void {
    const lanes = [this.#lane(task.stream)];
    // No stream's name begins like that: see domain/streams.ts.
    if (task.member !== '') lanes.push(this.#lane(`:${task.member}`));
    const entry = { task, lanes, awaited: lanes.length };
    for (const lane of lanes) lane.queue.push(entry);
    this.#admit(lanes);
  }

  done(task: Task): void {
    const lanes = this.#started.get(task);
    if (!lanes) return;
    this.#started.delete(task);
    for (const lane of lanes) lane.inside--;
    this.#admit(lanes);
    for (const lane of lanes) if (lane.inside === 0 && lane.queue.length === 0) this.#lanes.delete(lane.name);
  }

  /** Forgets what has not started; gives how many that were. */
  drop(): number {
    const waiting = new Set<Entry>();
    for (const lane of this.#lanes.values()) {
      for (const entry of lane.queue.splice(0)) waiting.add(entry);
      lane.inside -= lane.unstarted;
      lane.unstarted = 0;
    }
    return waiting.size;
  }

  #lane(name: string): Lane {
    let lane = this.#lanes.get(name);
    if (!lane) this.#lanes.set(name, (lane = { name, stream: '', inside: 0, unstarted: 0, queue: [] }));
    return lane;
  }

  #admit(lanes: readonly Lane[]): void {
    for (const lane of lanes) {
      for (;;) {
        const next = lane.queue[0];
        if (!next) break;
        const open = lane.inside === 0 || (lane.unstarted === 0 && next.task.stream === lane.stream);
        if (!open) break;
        lane.queue.shift();
        lane.stream = next.task.stream;
        lane.inside++;
        lane.unstarted++;
        if (--next.awaited === 0) this.#start(next);
      }
    }
  }

  #start({ task, lanes }: Entry): void {
    for (const lane of lanes) lane.unstarted--;
    this.#started.set(task, lanes);
    task.start();
    // Those behind it may be of its stream.
    if (lanes.length > 1) this.#admit(lanes);
  }
}
