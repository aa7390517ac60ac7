/** What happens to the system, again and again, at random moments. Whatever is begun is also ended. */
import { setTimeout as pause } from 'node:timers/promises';
import type { House } from './house.ts';
import type { Server } from './server.ts';

/** Longer than anybody waits before he takes over from a process that he does not hear of. */
export const longerThanAnyLeaseMs = 11_000;

type Random = () => number;

const below = (random: Random, n: number): number => Math.floor(random() * n);

/** What is done to a server's process; all but one of them at most are in such trouble at once. */
const toProcesses: Readonly<Record<string, (server: Server, random: Random) => Promise<void>>> = {
  async 'killed and restarted'(server, random) {
    await server.kill();
    await pause(random() * 1_000);
    await server.start();
  },
  async 'stopped and restarted'(server, random) {
    await server.stop();
    await pause(random() * 300);
    await server.start();
  },
  async 'frozen past its lease'(server, random) {
    server.freeze();
    await pause(longerThanAnyLeaseMs + random() * 1_000);
    server.thaw();
  },
  async 'frozen for a moment'(server, random) {
    server.freeze();
    await pause(random() * 2_000);
    server.thaw();
  },
};

/** What is done to a server's way to Postgres. */
const toConnections: Readonly<Record<string, (server: Server, random: Random) => Promise<void>>> = {
  async 'connections delayed'({ proxy }, random) {
    proxy.delay(5 + below(random, 100));
    await pause(random() * 2_000);
    proxy.heal();
  },
  async 'connections throttled'({ proxy }, random) {
    proxy.throttle(5_000 + below(random, 200_000));
    await pause(random() * 2_000);
    proxy.heal();
  },
  'connections cut'({ proxy }) {
    proxy.cut();
    return Promise.resolve();
  },
  'connections half closed'({ proxy }, random) {
    proxy.halfClose(random() < 0.5 ? 'client' : 'server');
    return Promise.resolve();
  },
  async 'connections silent, then cut'({ proxy }, random) {
    proxy.stall();
    await pause(random() * 4_000);
    proxy.cut();
    proxy.heal();
  },
  async 'connections silent, then well'({ proxy }, random) {
    proxy.stall();
    await pause(random() * 2_000);
    proxy.heal();
  },
  async 'connections cut in the midst of a message'({ proxy }, random) {
    proxy.cutAfter(below(random, 20_000));
    await pause(random() * 500);
    proxy.heal();
  },
};

const toPostgres: Readonly<Record<string, (house: House, random: Random) => Promise<void>>> = {
  async 'Postgres crashed and restarted'(house, random) {
    await house.postgres.crash();
    await pause(random() * 1_000);
    await house.restartPostgres();
  },
  async 'backends terminated'({ postgres }, random) {
    await postgres.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where application_name like 'server-%' and random() < $1`,
      [0.2 + random() * 0.6],
    );
  },
};

/** One of these at random; how often which. */
const kinds = [
  ...Object.entries(toProcesses).map(([name, act]) => ({ on: 'process', name, act }) as const),
  ...Object.entries(toConnections).map(([name, act]) => ({ on: 'connections', name, act }) as const),
  ...Object.entries(toPostgres).map(([name, act]) => ({ on: 'postgres', name, act }) as const),
];

/** Until the signal aborts; then the system is whole again. */
export async function mischief(house: House, random: Random, signal: AbortSignal): Promise<void> {
  const { journal, servers } = house;
  const running = new Set<Promise<void>>();
  const troubled = new Set<Server>();
  let postgresTroubled = false;
  const begin = (name: string, on: string, act: Promise<void>, done: () => void): void => {
    journal.fault(name, on);
    const ended = act
      .catch((error: unknown) => journal.violation(`${name}, ${on}, and not well again: ${String(error)}`))
      .finally(() => {
        journal.note(`over: ${name}, ${on}`);
        done();
        running.delete(ended);
      });
    running.add(ended);
  };

  while (!signal.aborted) {
    const kind = kinds[below(random, kinds.length)];
    const server = servers[below(random, servers.length)];
    if (!kind || !server) break;
    if (kind.on === 'postgres') {
      if (!postgresTroubled) {
        postgresTroubled = true;
        begin(kind.name, 'Postgres', kind.act(house, random), () => (postgresTroubled = false));
      }
    } else if (kind.on === 'connections') {
      if (!troubled.has(server)) {
        troubled.add(server);
        begin(kind.name, server.name, kind.act(server, random), () => troubled.delete(server));
      }
    } else if (!server.busy && servers.filter((one) => !one.busy).length > 1) {
      server.busy = true;
      begin(kind.name, server.name, kind.act(server, random), () => (server.busy = false));
    }
    await pause(100 + random() * 500);
  }
  await Promise.all(running);
}
