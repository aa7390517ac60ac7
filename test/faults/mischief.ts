/** What happens to a cluster, again and again, while it is being used: the same for the same seed, but for the moment. */
import { setTimeout as pause } from 'node:timers/promises';
import { type EventStoreDb, refusals } from '../support/eventstoredb/index.ts';

/** Longer than the server under test waits for an answer. Nothing overtakes what is delayed. */
const tooLate = 1_500;

const acts: Readonly<Record<string, (cluster: EventStoreDb, random: () => number) => Promise<void> | void>> =
  {
    'connections cut'(cluster, random) {
      cluster.nodes[Math.floor(random() * cluster.nodes.length)]?.dropConnections();
    },
    'connections cut before storing'({ faults }) {
      faults.next({ on: 'batchAppend', fault: { kind: 'drop' }, at: 'request' }, 3);
    },
    'connections cut before answering'({ faults }) {
      faults.next({ on: 'batchAppend', fault: { kind: 'drop' }, at: 'answer' }, 3);
    },
    'appends never answered, not stored'({ faults }, random) {
      faults.next(
        { on: 'batchAppend', fault: { kind: 'hang' }, at: 'request' },
        1 + Math.floor(random() * 20),
      );
    },
    'appends never answered, stored'({ faults }, random) {
      faults.next(
        { on: 'batchAppend', fault: { kind: 'hang' }, at: 'answer' },
        1 + Math.floor(random() * 20),
      );
    },
    'answers that come too late'({ faults }) {
      faults.next({ on: 'batchAppend', fault: { kind: 'delay', ms: tooLate }, at: 'answer' });
    },
    'requests that arrive too late'({ faults }) {
      faults.next({ on: 'batchAppend', fault: { kind: 'delay', ms: tooLate }, at: 'request' });
    },
    'answers that come twice'({ faults }) {
      faults.next({ on: 'batchAppend', fault: { kind: 'twice' } }, 50);
    },
    'appends ended with OK'({ faults }) {
      faults.next({ on: 'batchAppend', fault: { kind: 'end' }, at: 'answer' }, 2);
    },
    'timeouts of the server, stored'({ faults }) {
      faults.next(
        { on: 'batchAppend', fault: { kind: 'refuse', refusal: refusals.timeout() }, at: 'answer' },
        20,
      );
    },
    'timeouts of the server, not stored'({ faults }) {
      faults.next(
        { on: 'batchAppend', fault: { kind: 'refuse', refusal: refusals.timeout() }, at: 'request' },
        20,
      );
    },
    'a server that is not ready'({ faults }) {
      faults.next(
        { on: ['batchAppend', 'read'], fault: { kind: 'refuse', refusal: refusals.notReady() } },
        20,
      );
    },
    'reads that fail or say nothing'({ faults }) {
      faults.next({ on: 'read', fault: { kind: 'drop' }, afterEvents: 1 }, 2);
      faults.next({ on: 'read', fault: { kind: 'hang' } }, 2);
    },
    'subscriptions ended with OK'({ faults }) {
      faults.next({ on: 'subscribe', fault: { kind: 'end' }, afterEvents: 5 }, 1);
      faults.next({ on: 'subscribe', fault: { kind: 'drop' }, afterEvents: 50 }, 1);
    },
    async 'silent subscriptions'({ faults }, random) {
      faults.stallSubscriptions();
      await pause(200 + random() * 800);
      faults.resumeSubscriptions();
    },
    'another leader'(cluster, random) {
      cluster.changeLeader({ subscriptions: random() < 0.5 ? 'drop' : 'survive' });
    },
    async 'a node restarted'(cluster, random) {
      const node = cluster.nodes[Math.floor(random() * cluster.nodes.length)];
      if (!node) return;
      if (node.isLeader) cluster.changeLeader();
      await node.stop();
      await pause(random() * 500);
      await node.restart();
    },
  };

/** Does mischief every few hundred milliseconds until the signal aborts; then the cluster is well again. */
export async function mischief(
  cluster: EventStoreDb,
  random: () => number,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, number>> {
  const done = new Map<string, number>();
  const names = Object.keys(acts);
  while (!signal.aborted) {
    const name = names[Math.floor(random() * names.length)] ?? '';
    await acts[name]?.(cluster, random);
    done.set(name, (done.get(name) ?? 0) + 1);
    await pause(200 + random() * 400);
    // What has not struck by now does not: trouble must not pile up.
    cluster.faults.clear();
  }
  return done;
}
