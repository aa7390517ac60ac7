/**
 * Statements of several sessions in every order there is, on a real Postgres: whoever has to wait for a lock waits, and
 * the others go on.
 */
import pg from 'pg';
import { setTimeout as delay } from 'node:timers/promises';

/** What a session does, with a pool of its own. Every statement waits for its turn; `pool.query` is a transaction. */
export type Actor = (pool: pg.Pool) => Promise<unknown>;

export interface Outcome {
  /** What the actors answered, or threw. */
  readonly answers: readonly unknown[];
  /** Numbers of the actors, in the order of their statements. */
  readonly order: readonly number[];
}

const isFunction = (value: unknown): value is (...args: unknown[]) => unknown => typeof value === 'function';

class Session {
  readonly #pool: pg.Pool;
  readonly #client: pg.PoolClient;
  readonly pid: number;
  state: 'ready' | 'running' | 'ended' = 'running';
  #go: (() => void) | undefined;

  private constructor(pool: pg.Pool, client: pg.PoolClient, pid: number) {
    this.#pool = pool;
    this.#client = client;
    this.pid = pid;
  }

  static async open(url: string): Promise<Session> {
    const pool = new pg.Pool({ connectionString: url, max: 1 });
    const client = await pool.connect();
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
    return new Session(pool, client, rows[0]?.pid ?? 0);
  }

  async close(): Promise<void> {
    this.#client.release(true);
    await this.#pool.end();
  }

  step(): void {
    this.state = 'running';
    this.#go?.();
  }

  async act(actor: Actor): Promise<unknown> {
    this.state = 'running';
    try {
      return await actor(this.#stepped());
    } catch (error) {
      await this.#client.query('rollback');
      return error;
    } finally {
      this.state = 'ended';
    }
  }

  async #query(args: readonly unknown[]): Promise<unknown> {
    // It sees and holds nothing yet: whenever it comes is the same.
    if (args[0] === 'begin') return Reflect.apply(this.#client.query, this.#client, args);
    await new Promise<void>((resolve) => {
      this.#go = resolve;
      this.state = 'ready';
    });
    return Reflect.apply(this.#client.query, this.#client, args);
  }

  #stepped(): pg.Pool {
    // Who fails throws its connection away, and Postgres ends its transaction: `act` does that.
    const client = new Proxy(this.#client, {
      get: (target, key) => {
        if (key === 'query') return (...args: unknown[]) => this.#query(args);
        if (key === 'release') return () => undefined;
        const value: unknown = Reflect.get(target, key);
        return isFunction(value) ? value.bind(target) : value;
      },
    });
    return new Proxy(this.#pool, {
      get: (target, key) => {
        if (key === 'connect') return () => Promise.resolve(client);
        if (key !== 'query') return Reflect.get(target, key) as unknown;
        return async (...args: unknown[]) => {
          await this.#client.query('begin');
          const answer = await this.#query(args);
          await this.#query(['commit']);
          return answer;
        };
      },
    });
  }
}

/** Numbers that are the same every time. */
function chance(): (below: number) => number {
  let state = 7;
  return (below) => (state = (state * 48_271) % 2_147_483_647) % below;
}

/**
 * Answers how many orders there were. `prepare` and `check` come before and after each. `sample`: that many by chance,
 * where all are too many.
 */
export async function inEveryOrder(
  url: string,
  actors: readonly Actor[],
  prepare: () => Promise<void>,
  check: (outcome: Outcome) => Promise<void>,
  sample?: number,
): Promise<number> {
  const random = chance();
  const observer = new pg.Client({ connectionString: url });
  await observer.connect();
  const sessions = await Promise.all(actors.map(() => Session.open(url)));
  const waits = async ({ pid }: Session): Promise<boolean> =>
    (await observer.query('select from pg_locks where pid = $1 and not granted', [pid])).rowCount !== 0;
  /** Until everybody waits for its turn, or for a lock. */
  const quiet = async (): Promise<void> => {
    for (const session of sessions) {
      while (session.state === 'running' && !(await waits(session))) await delay(1);
    }
  };
  let orders = 0;
  try {
    for (let path: number[] | undefined = []; path;) {
      await prepare();
      const acting = sessions.map((session, i) => session.act(actors[i] ?? (() => Promise.resolve())));
      const taken: { choice: number; options: number }[] = [];
      const order: number[] = [];
      for (;;) {
        await quiet();
        const ready = sessions.filter(({ state }) => state === 'ready');
        if (sessions.every(({ state }) => state === 'ended')) break;
        const choice = sample === undefined ? (path[taken.length] ?? 0) : random(Math.max(1, ready.length));
        const next = ready[choice];
        // All wait for each other: Postgres ends that.
        if (!next) await delay(5);
        else {
          taken.push({ choice, options: ready.length });
          order.push(sessions.indexOf(next));
          next.step();
        }
      }
      await check({ answers: await Promise.all(acting), order });
      orders++;
      path = sample === undefined ? nextPath(taken) : orders < sample ? [] : undefined;
    }
  } finally {
    await Promise.all(sessions.map((session) => session.close()));
    await observer.end();
  }
  return orders;
}

/** The last choice that could have been another one is. */
function nextPath(taken: readonly { choice: number; options: number }[]): number[] | undefined {
  const last = taken.findLastIndex(({ choice, options }) => choice + 1 < options);
  if (last < 0) return undefined;
  return taken.slice(0, last + 1).map(({ choice }, i) => (i === last ? choice + 1 : choice));
}
