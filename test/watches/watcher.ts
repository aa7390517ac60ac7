/** One client that watches over a bad network, now on this server and now on that one, and is looked at all the while. */
import { type ClientReadableStream, status } from '@grpc/grpc-js';
import { setTimeout as pause } from 'node:timers/promises';
import type { Position } from '../../src/eventstore/port.ts';
import type { WatchOptions } from '../../src/gen/tallyback/common/v1/watch.ts';
import { readFailure } from '../../src/main/client/errors.ts';
import type { Columns } from '../../src/projections/engine/read-model.ts';
import { FaultProxy } from '../crash/fault-proxy.ts';
import type { Journal } from '../crash/journal.ts';
import type { House } from './house.ts';
import { Inspector, type Known } from './inspector.ts';
import type { Kind } from './kinds.ts';
import { type Message, WatchClient } from './watch-client.ts';

export interface Scene {
  readonly house: House;
  readonly journal: Journal;
  /** What acknowledged commands have done, and the token of the last of them. */
  readonly known: readonly Known[];
  readonly lastToken: () => string;
  readonly mayReturn: () => boolean;
}

export interface Watcher {
  readonly name: string;
  readonly messages: number;
  /** Goes wrong now and then until the signal aborts. */
  trouble(signal: AbortSignal): Promise<void>;
  /** A good network from here on. */
  heal(): void;
  /** In what the client's map differs from the table; empty: in nothing. */
  difference(): Promise<string>;
  close(): Promise<void>;
}

const heartbeatMs = 1_000;
const duration = (ms: number): { seconds: bigint; nanos: number } => ({
  seconds: BigInt(Math.floor(ms / 1_000)),
  nanos: (ms % 1_000) * 1e6,
});

const text = (row: unknown): string =>
  JSON.stringify(row, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value));

/** Ends that the protocol does not know. A lost connection is all of the others, depending on the moment. */
const wrong = new Set([status.INVALID_ARGUMENT, status.NOT_FOUND, status.UNIMPLEMENTED, status.DATA_LOSS]);

export async function startWatcher<C extends Columns, Changes, Row>(
  name: string,
  kind: Kind<C, Changes, Row>,
  random: () => number,
  scene: Scene,
): Promise<Watcher> {
  const { house, journal } = scene;
  const proxy = await FaultProxy.listen(0);
  const wanted = kind.filter(random);
  const startsEmpty = random() < 0.15;
  const conflationMs = random() < 0.3 ? Math.floor(random() * 2_500) : 0;
  const note = (what: string): void => journal.note(`${name}: ${what}`);
  note(`${kind.name}, ${wanted.text}${startsEmpty ? ', changes only' : ''}, conflated ${conflationMs} ms`);
  let call: ClientReadableStream<Message<Changes>> | undefined;
  let options: WatchOptions;

  const inspect = (): Inspector<C, Changes, Row> =>
    new Inspector({
      kind,
      client,
      matches: wanted.matches,
      surely: wanted.surely,
      known: scene.known,
      decode: house.decode,
      mayReturn: scene.mayReturn,
      violation: (what) => journal.violation(`${name}: ${what}`),
    });
  const client = new WatchClient<Changes, Row>(kind, {
    heartbeatMs,
    open(resumeToken) {
      const running = house.instances.flatMap(({ name: server, running }) =>
        running ? [{ server, port: running.port }] : [],
      );
      const to = running[Math.floor(random() * running.length)];
      proxy.targetPort = to?.port ?? 1;
      options = {
        resumeToken,
        changesOnly: startsEmpty || (resumeToken !== '' && random() < 0.2),
        notCaughtUpBefore: random() < 0.5 ? scene.lastToken() : '',
        conflationWindow: duration(conflationMs),
        heartbeatInterval: duration(heartbeatMs),
        failOnReset: !startsEmpty && random() < 0.2,
      };
      note(
        `watches ${to?.server} ${resumeToken === '' ? 'anew' : 'on'}${options.failOnReset ? ', fails' : ''}`,
      );
      inspector.begin(options);
      call = wanted.open(`127.0.0.1:${proxy.port}`, options);
      return call;
    },
    received: (message) => {
      if (message.event?.$case === 'reset') note('Reset');
      if (message.event?.$case === 'snapshotStarted') note(`snapshot of ${message.event.value.generation}`);
      inspector.message(message);
    },
    ended(how) {
      if (how === 'silence') return note('silence');
      const { codeName, reason } = readFailure(how);
      note(`${codeName} ${reason} ${how.details}`);
      if (wrong.has(how.code)) journal.violation(`${name}: ended with ${codeName} ${reason} ${how.details}`);
      if (how.code === status.OUT_OF_RANGE && !(options.failOnReset && reason === 'RESUME_TOKEN_OUTDATED'))
        journal.violation(`${name}: ended with ${codeName} ${reason}`);
    },
  });
  const inspector = inspect();
  const stopped = new AbortController();
  const running = client.run(stopped.signal).catch((error: unknown) => {
    journal.violation(`${name}: ${String(error)}`);
  });

  const troubles: readonly (readonly [string, () => Promise<void> | void])[] = [
    ['cut', () => proxy.cut()],
    ['cut within bytes', () => proxy.cutAfter(Math.floor(random() ** 2 * 4_000))],
    ['cut within bytes', () => proxy.cutAfter(Math.floor(random() ** 2 * 4_000))],
    ['cancelled', () => call?.cancel()],
    ['half closed', () => proxy.halfClose(random() < 0.5 ? 'client' : 'server')],
    ['throttled', () => proxy.throttle(500 + Math.floor(random() * 4_000))],
    ['delayed', () => proxy.delay(Math.floor(random() * 150))],
    ['stalled', () => proxy.stall()],
    [
      'does not read',
      async () => {
        const slow = call;
        slow?.pause();
        await pause(random() * 2_500);
        slow?.resume();
      },
    ],
    [
      'forgets all',
      () => {
        if (startsEmpty) return;
        client.resumeToken = '';
        call?.cancel();
      },
    ],
  ];

  return {
    name,
    get messages() {
      return inspector.messages;
    },
    async trouble(signal) {
      while (!signal.aborted) {
        await pause(random() * 1_500, undefined, { signal }).catch(() => undefined);
        const [what, begin] = troubles[Math.floor(random() * troubles.length)] ?? [];
        if (signal.aborted || !begin) break;
        journal.fault(what ?? '', name);
        await begin();
        await pause(random() ** 2 * 1_500, undefined, { signal }).catch(() => undefined);
        proxy.heal();
      }
    },
    heal: () => proxy.heal(),
    difference: () => differenceOf(kind, wanted.matches, client, inspector.since, house),
    async close() {
      stopped.abort();
      await proxy.close();
      await running;
    },
  };
}

async function differenceOf<C extends Columns, Changes, Row>(
  kind: Kind<C, Changes, Row>,
  matches: (row: Row) => boolean,
  { shown, generation }: WatchClient<Changes, Row>,
  since: Position | undefined,
  house: House,
): Promise<string> {
  const table = await house.table(kind.model);
  // Without a snapshot nothing is known of what did not change since.
  if (generation === '' && !since) return 'shows nothing yet';
  const there = new Map<string, string>();
  for (const { row, position } of table.rows) {
    const message = kind.message(row);
    const key = kind.keyOf(message);
    if (!matches(message)) continue;
    if (since && position <= since.commit && !shown.has(key)) continue;
    there.set(key, text(message));
  }
  for (const [key, row] of shown) {
    if (there.get(key) !== text(row)) return `${key}: ${text(row)}, not ${there.get(key)}`;
  }
  for (const [key, row] of there) if (!shown.has(key)) return `${key} is missing: ${row}`;
  return generation === '' || generation === table.generation
    ? ''
    : `shows generation ${generation}, not ${table.generation}`;
}
