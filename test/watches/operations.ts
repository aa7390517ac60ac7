/** What is done to the servers and their read models while clients watch. */
import { setTimeout as pause } from 'node:timers/promises';
import {
  GenerationState,
  RebuildStage,
  type WatchRebuildResponse,
} from '../../src/gen/tallyback/admin/v1/projection_admin_service.ts';
import { unary } from '../../src/main/client/unary.ts';
import type { Journal } from '../crash/journal.ts';
import type { House } from './house.ts';

const projections = ['balance', 'statement', 'orders', 'figures', 'stock'] as const;
type Projection = (typeof projections)[number];
const operator = 'test';
const { signal } = new AbortController();

/** A column of each that nothing is decided by, to be spoilt. */
const spoilt: Readonly<Record<Projection, string>> = {
  balance: 'orphan_units',
  statement: 'amount_minor',
  orders: 'refunded_minor',
  figures: 'orphan_units',
  stock: 'committed',
};

export class Operations {
  readonly #house: House;
  readonly #journal: Journal;
  readonly #random: () => number;
  /** The last one of which there is a generation to go back to. */
  #rebuilt: Projection | undefined;
  rolledBack = false;

  constructor(house: House, journal: Journal, random: () => number) {
    this.#house = house;
    this.#journal = journal;
    this.#random = random;
  }

  /** Whole tables and servers: one thing after the other. */
  async keepExchanging(until: AbortSignal): Promise<void> {
    while (!until.aborted) {
      const roll = this.#random();
      const projection = this.#projection();
      const n = this.#random() < 0.5 ? 0 : 1;
      try {
        if (roll < 0.5) await this.#rebuild(projection, n);
        else if (roll < 0.75) await this.#rollback(this.#rebuilt ?? projection, n);
        else await this.#restart(n);
      } catch (error) {
        this.#journal.note(`not done: ${String(error)}`);
      }
      await pause(this.#random() * 400);
    }
  }

  async keepPuttingRight(until: AbortSignal): Promise<void> {
    while (!until.aborted) {
      await pause(200 + this.#random() * 1_200);
      await this.#putRight(this.#projection());
    }
  }

  #projection(): Projection {
    return projections[Math.floor(this.#random() * projections.length)] ?? 'balance';
  }

  async #rebuild(projection: Projection, n: number): Promise<void> {
    this.#journal.fault('rebuild', projection);
    const { admin } = this.#house.any(n);
    const started = await unary(
      admin,
      admin.startRebuild,
      { projection, operator, dryRun: false },
      { signal },
    );
    await this.#end(projection, started.generation, n);
    this.#rebuilt = projection;
  }

  async #rollback(projection: string, n: number): Promise<void> {
    this.#journal.fault('rollback', projection);
    this.rolledBack = true;
    const { admin } = this.#house.any(n);
    const { generation } = await unary(admin, admin.rollback, { projection, operator }, { signal });
    await this.#end(projection, generation, n);
  }

  /** Until it serves, by force if need be: what was spoilt differs. */
  async #end(projection: string, generation: number, n: number): Promise<void> {
    for (;;) {
      const { admin } = this.#house.any(n);
      let last: WatchRebuildResponse['generation'];
      for await (const message of admin.watchRebuild({ projection, generation }))
        last = (message as WatchRebuildResponse).generation;
      const how = `${projection}/${generation} ${last?.state}/${last?.stage}`;
      this.#journal.note(how);
      if (last?.state !== GenerationState.BUILDING) return;
      if (last.stage === RebuildStage.DIFFERS)
        await unary(admin, admin.acceptRebuild, { projection, generation, operator }, { signal });
      else await pause(100);
    }
  }

  /** Rows change although no event came, as when what was parked is folded in: all who watch must begin again. */
  async #putRight(projection: Projection): Promise<void> {
    this.#journal.fault('put right', projection);
    const client = await this.#house.pool.connect();
    try {
      await client.query('begin');
      const { rows } = await client.query<{ table_name: string }>(
        `update tallyback.generation set incarnation = incarnation + 1
         where model = $1 and state = 'serving' returning table_name`,
        [projection],
      );
      const table = `tallyback.${rows[0]?.table_name}`;
      const column = spoilt[projection];
      await client.query(`update ${table} set ${column} = ${column} + 1
        where ctid in (select ctid from ${table} order by position limit 3)`);
      await client.query('commit');
    } finally {
      client.release();
    }
  }

  async #restart(n: number): Promise<void> {
    const instance = this.#house.instances[n];
    if (!instance || this.#house.instances.some(({ running }) => !running)) return;
    this.#journal.fault('restart', instance.name);
    await instance.stop();
    await pause(this.#random() * 800);
    await instance.start();
    this.#journal.note(`${instance.name} is back`);
  }
}
