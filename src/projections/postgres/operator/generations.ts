/**
 * What operators do to generations: they say what they want, and whichever instance leads the generation does it.
 *
 * Locks are taken in the order schema lock, checkpoint, generation, table, as by everybody else.
 */
import pg from 'pg';
import type { ReadModel } from '../../engine/read-model.ts';
import { OperatorRefused } from '../../engine/operator.ts';
import { type Generation, leaseName, type Wish } from '../../engine/storage.ts';
import { recordAction } from './action.ts';
import { dropTable, makeGeneration, schemaLock } from '../schema.ts';
import { inTransaction } from '../transaction.ts';

type Found = Pick<Generation, 'model' | 'number' | 'version' | 'table' | 'state' | 'stage'>;

const found = `select model, number, version, table_name as "table", state, stage from tallyback.generation`;

const nameOf = ({ model, number }: Pick<Generation, 'model' | 'number'>): string => `${model}/${number}`;

/** lock_not_available */
const lockTimeout = '55P03';

/** One at a time, and never while an instance that starts makes generations itself. */
const underSchemaLock = <R>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<R>): Promise<R> =>
  inTransaction(pool, async (client) => {
    await client.query(`select pg_advisory_xact_lock(${schemaLock})`);
    return work(client);
  });

/** Those of a read model in a state, newest first. */
async function find(
  client: pg.PoolClient,
  model: ReadModel,
  state: Generation['state'],
): Promise<readonly Found[]> {
  const { rows } = await client.query<Found>(
    `${found} where model = $1 and state = $2 order by number desc`,
    [model.name, state],
  );
  return rows;
}

async function refuseIfBuilding(client: pg.PoolClient, model: ReadModel): Promise<void> {
  const building = await find(client, model, 'building');
  const other = building.find(({ version }) => version === model.version);
  if (other) {
    throw new OperatorRefused(
      'NOT_NOW',
      `${nameOf(other)} is being built already (${other.stage}): let it end, or cancel it`,
    );
  }
}

export function rebuild(
  pool: pg.Pool,
  model: ReadModel,
  { dryRun }: { readonly dryRun: boolean },
  who: string,
): Promise<number> {
  return underSchemaLock(pool, async (client) => {
    await refuseIfBuilding(client, model);
    // What serves now is kept when the new one takes its place, and one is enough to go back to.
    const kept = dryRun ? [] : await find(client, model, 'kept');
    for (const one of kept.filter(({ version }) => version === model.version)) await dropKept(client, one);
    const number = await makeGeneration(client, model, { state: 'building', dryRun });
    const subject = nameOf({ model: model.name, number });
    await recordAction(client, { who, action: 'rebuild', subject, detail: { dryRun } });
    return number;
  });
}

async function dropKept(client: pg.PoolClient, kept: Found): Promise<void> {
  await client.query('delete from tallyback.checkpoint where name = $1', [leaseName(kept)]);
  // Everybody who wants to read the table would wait behind us: better to give up than to let a slow reader stop them.
  await client.query(`set local lock_timeout = '2s'`);
  await dropTable(client, kept).catch((error: unknown) => {
    if (!(error instanceof pg.DatabaseError) || error.code !== lockTimeout) throw error;
    throw new OperatorRefused(
      'NOT_NOW',
      `${nameOf(kept)}, which was kept, is still being read: try again soon`,
    );
  });
  await client.query('set local lock_timeout to default');
}

const actions: Readonly<Record<Wish, string>> = { pause: 'pause', run: 'resume', cancel: 'cancel' };

export function wish(
  pool: pg.Pool,
  model: ReadModel,
  number: number,
  wished: Wish,
  who: string,
): Promise<void> {
  return underSchemaLock(pool, async (client) => {
    const building = await lockBuilding(client, model, number);
    await client.query('update tallyback.generation set wish = $3 where model = $1 and number = $2', [
      model.name,
      number,
      wished,
    ]);
    if (wished === 'run') await forgetFailure(client, building);
    await recordAction(client, { who, action: actions[wished], subject: nameOf(building) });
  });
}

export function accept(pool: pg.Pool, model: ReadModel, number: number, who: string): Promise<void> {
  return underSchemaLock(pool, async (client) => {
    const building = await lockBuilding(client, model, number);
    if (building.stage !== 'differs') {
      throw new OperatorRefused(
        'NOT_NOW',
        `${nameOf(building)} is ${building.stage}: only one that was compared, and differs, can be accepted`,
      );
    }
    await client.query(
      `update tallyback.generation set accepted = true, wish = 'run', stage = 'catching-up'
       where model = $1 and number = $2`,
      [model.name, number],
    );
    await forgetFailure(client, building);
    await recordAction(client, { who, action: 'accept', subject: nameOf(building) });
  });
}

export function rollback(pool: pg.Pool, model: ReadModel, who: string): Promise<number> {
  return underSchemaLock(pool, async (client) => {
    await refuseIfBuilding(client, model);
    const kept = await find(client, model, 'kept');
    const newest = kept.find(({ version }) => version === model.version);
    if (!newest) {
      const [other] = kept;
      const why = other
        ? `${nameOf(other)} is kept, but of version ${other.version}, and this release folds ${model.version}: go back to a release that folds it`
        : `no generation of ${model.name} is kept: there is nothing to go back to`;
      throw new OperatorRefused('NOT_FOUND', why);
    }
    await client.query('select from tallyback.checkpoint where name = $1 for update', [leaseName(newest)]);
    // It may well differ from the one that serves: that is why somebody wants it back.
    await client.query(
      `update tallyback.generation
       set state = 'building', stage = 'catching-up', wish = 'run', accepted = true, dry_run = false,
         requested_at = now(), finished_at = null, events = 0, events_per_second = null, remaining_seconds = null,
         target = null, report = null
       where model = $1 and number = $2`,
      [model.name, newest.number],
    );
    await forgetFailure(client, newest);
    await recordAction(client, { who, action: 'rollback', subject: nameOf(newest) });
    return newest.number;
  });
}

/** The generation, which stays as it is until the transaction ends. */
async function lockBuilding(client: pg.PoolClient, model: ReadModel, number: number): Promise<Found> {
  await client.query('select from tallyback.checkpoint where name = $1 for update', [
    leaseName({ model: model.name, number }),
  ]);
  const { rows } = await client.query<Found>(`${found} where model = $1 and number = $2`, [
    model.name,
    number,
  ]);
  const [building] = rows;
  if (!building || building.state === 'dropped') {
    throw new OperatorRefused('NOT_FOUND', `there is no ${nameOf({ model: model.name, number })}`);
  }
  if (building.state !== 'building') {
    throw new OperatorRefused('NOT_NOW', `${nameOf(building)} is not being built: it is ${building.state}`);
  }
  if (building.version !== model.version) {
    throw new OperatorRefused(
      'NOT_NOW',
      `${nameOf(building)} is of version ${building.version}, this release folds ${model.version}`,
    );
  }
  return building;
}

/** It is to be tried again: what failed before says nothing any more. */
async function forgetFailure(
  client: pg.PoolClient,
  generation: Pick<Generation, 'model' | 'number'>,
): Promise<void> {
  await client.query('update tallyback.checkpoint set failed_epoch = null where name = $1', [
    leaseName(generation),
  ]);
}
