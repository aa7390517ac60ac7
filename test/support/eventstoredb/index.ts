/**
 * A test instrument, not a store for users: an in-process server that speaks EventStoreDB's v1 gRPC protocol to the
 * real client, over a log in memory, and can be told to go wrong in the ways real servers and networks do.
 *
 * It keeps the server's rules for revisions, repeats, positions, deletions and slow consumers, so that what holds
 * against it can be expected to hold against a server; a last proof needs a real one.
 *
 *     const server = await startEventStoreDb();
 *     const rule = server.faults.next({ on: 'batchAppend', fault: { kind: 'drop' }, at: 'answer' });
 *     // connect to server.connectionString; the next append is stored, and its connection lost
 *     await server.close();
 */
import { Calls } from './calls.ts';
import { Faults } from './faults.ts';
import { EventLog } from './log.ts';
import { LogView } from './log-view.ts';
import { EventStoreDbNode, type Tls } from './node.ts';
import type { Cluster } from './node-context.ts';
import { refusals } from './refusals.ts';

export { refusals, type Refusal } from './refusals.ts';
export type { Fault } from './faults.ts';
export type { LoggedEvent } from './log-view.ts';

export interface EventStoreDbOptions {
  /** The first is the leader. */
  readonly nodes?: number;
  /** Bytes. */
  readonly maxAppendSize?: number;
  /**
   * Servers before 24.2 drop a live subscription whose consumer does not keep up; later ones catch up again. With
   * `drop`, subscriptions differ as those of 23.10 do in other ways too: no checkpoint comes as they go live, and no
   * `caughtUp` of a stream before it is there.
   */
  readonly slowConsumers?: 'drop' | 'fall-back';
  /** 23.10 answers UNKNOWN to a position that no event is at, 24.10 INVALID_ARGUMENT. */
  readonly invalidPosition?: 'unknown' | 'invalid-argument';
  readonly tls?: Tls;
  /** Asked for by every call on streams; clients send them over TLS only. */
  readonly credentials?: { readonly username: string; readonly password: string };
  /** Milliseconds: `created`, and what `$maxAge` is measured by. */
  readonly now?: () => number;
}

export class EventStoreDb {
  readonly nodes: readonly EventStoreDbNode[];
  readonly faults = new Faults();
  readonly calls = new Calls();
  /** What is stored, whatever clients were told. */
  readonly log: LogView;
  readonly #cluster: Cluster;
  readonly #log: EventLog;
  readonly #usesTls: boolean;

  constructor(options: EventStoreDbOptions) {
    this.#log = new EventLog({
      now: options.now ?? Date.now,
      replaysWithoutPosition: () => this.faults.replaysWithoutPosition,
    });
    this.log = new LogView(this.#log);
    const ports = (): number[] => this.nodes.map((node) => node.port);
    this.#cluster = {
      log: this.#log,
      faults: this.faults,
      calls: this.calls,
      settings: {
        maxAppendSize: options.maxAppendSize ?? 1024 * 1024,
        slowConsumers: options.slowConsumers ?? 'fall-back',
        invalidPosition: options.invalidPosition ?? 'unknown',
        credentials: options.credentials,
      },
      timers: new Set(),
      leader: 0,
      get ports() {
        return ports();
      },
    };
    this.#usesTls = options.tls !== undefined;
    this.nodes = Array.from(
      { length: options.nodes ?? 1 },
      (_, index) => new EventStoreDbNode(this.#cluster, index, () => this.nodes, options.tls),
    );
  }

  /** Of all nodes. Add options of your own with `&`. */
  get connectionString(): string {
    const hosts = this.nodes.map(({ port }) => `127.0.0.1:${port}`).join(',');
    return `esdb://${hosts}?tls=${this.#usesTls}`;
  }

  get leader(): EventStoreDbNode {
    const node = this.nodes[this.#cluster.leader];
    if (!node) throw new Error('no such node');
    return node;
  }

  /**
   * The next running node, or the one given, becomes the leader. What waits for an answer of the old one gets an
   * unknown outcome; its subscriptions survive, as they do on a real follower, unless they are to be dropped.
   */
  changeLeader(options: { readonly to?: number; readonly subscriptions?: 'drop' | 'survive' } = {}): void {
    const old = this.#cluster.leader;
    const others = this.nodes.map((_, n) => (old + 1 + n) % this.nodes.length);
    const next = options.to ?? others.find((index) => index !== old && this.nodes[index]?.isRunning);
    if (next === undefined) throw new Error('no other node is running');
    this.#cluster.leader = next;
    this.#log.forgetRecentIds();
    for (const call of this.calls.of(old)) {
      call.abandon?.();
      if (call.kind === 'subscribe' && options.subscriptions === 'drop') call.refuse(refusals.unavailable());
    }
    this.#log.writeEpoch();
  }

  /** Removes from the log what deletions and stream metadata hide. */
  scavenge(): void {
    this.#log.scavenge();
  }

  /** Leaves no port and no timer behind. */
  async close(): Promise<void> {
    this.faults.clear();
    for (const timer of this.#cluster.timers) clearTimeout(timer);
    this.#cluster.timers.clear();
    await Promise.all(this.nodes.map((node) => node.stop()));
  }
}

export async function startEventStoreDb(options: EventStoreDbOptions = {}): Promise<EventStoreDb> {
  const server = new EventStoreDb(options);
  for (const node of server.nodes) await node.start();
  return server;
}
