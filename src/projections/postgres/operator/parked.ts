/**
 * What operators do to parked events: see them, have them folded after all, or leave them out for good.
 *
 * Who folds or leaves out holds the checkpoint's row until it is done, so the leader writes before or after. After, it
 * is refused, for the epoch is another one: it starts again from what is stored, with rows and scopes read afresh.
 */
import type pg from 'pg';
import type { EventStore } from '../../../eventstore/port.ts';
import { OperatorRefused, type ParkedScope } from '../../engine/operator.ts';
import type { ReadModel } from '../../engine/read-model.ts';
import { type Generation, type Held, leaseName, type ParkedEvent } from '../../engine/storage.ts';
import { readPosition } from '../checkpoints.ts';
import { recordAction } from './action.ts';
import { foldParked } from './fold.ts';
import { ParkedLog } from './log.ts';
import { park, parkedScopes, writeRows } from '../rows.ts';
import { inTransaction } from '../transaction.ts';

interface EventRow {
  readonly scope: string;
  readonly stream: string;
  readonly revision: string;
  readonly type: string;
  readonly position: string;
  readonly error: string | null;
  readonly stack: string | null;
}

const eventColumns = 'p.scope, p.stream, p.revision, p.type, p.position, p.error, p.stack';

const toEvent = ({ scope, stream, revision, type, position, error, stack }: EventRow): ParkedEvent => ({
  scope,
  stream,
  revision: Number(revision),
  type,
  position: readPosition(position),
  error: error ?? undefined,
  stack: stack ?? undefined,
});

/** Of generations that are in use. */
export async function scopes(pool: pg.Pool, model: ReadModel | undefined): Promise<readonly ParkedScope[]> {
  const { rows } = await pool.query<
    EventRow & { model: string; number: number; events: string; parked_at: Date }
  >(
    `select distinct on (p.model, p.number, p.scope) p.model, p.number, ${eventColumns}, p.parked_at,
       count(*) over (partition by p.model, p.number, p.scope)::text as events
     from tallyback.parked_event p join tallyback.generation g using (model, number)
     where g.state in ('serving', 'building') and ($1::text is null or p.model = $1)
     order by p.model, p.number, p.scope, p.commit`,
    [model?.name ?? null],
  );
  return rows.map((row) => ({
    model: row.model,
    generation: row.number,
    scope: row.scope,
    events: BigInt(row.events),
    first: toEvent(row),
    parkedAt: row.parked_at,
  }));
}

/** In the order of the log. */
export async function events(
  connection: pg.Pool | pg.PoolClient,
  model: ReadModel,
  generation: number,
  scope: string,
): Promise<readonly ParkedEvent[]> {
  const { rows } = await connection.query<EventRow>(
    `select ${eventColumns} from tallyback.parked_event p
     where p.model = $1 and p.number = $2 and p.scope = $3 order by p.commit`,
    [model.name, generation, scope],
  );
  return rows.map(toEvent);
}

export async function retry(
  pool: pg.Pool,
  store: Pick<EventStore, 'readStream'>,
  model: ReadModel,
  scope: string,
  who: string,
): Promise<number> {
  const log = new ParkedLog(store);
  // Most are read before anything is locked: the log may be slow, and the leader would wait for it.
  const serving = await servingGeneration(pool, model);
  if (serving) await log.read(await events(pool, model, serving.number, scope));
  return onServing(pool, model, scope, async (client, generation, held, parked) => {
    const others = await parkedScopes(client, generation);
    const stored = await log.read(parked);
    const { rows, waiting } = await foldParked(client, model, generation, scope, stored, others);
    const { position } = held;
    const batch = { model, generation, held, from: position, to: position, rows, parked: [] };
    if (!(await writeRows(client, batch))) throw new Error('a checkpoint that is locked has moved');
    await remove(client, generation, scope);
    await park(client, generation, waiting);
    // Rows have changed, and their positions may be older than what watches have seen.
    await client.query(
      'update tallyback.generation set incarnation = incarnation + 1 where model = $1 and number = $2',
      [generation.model, generation.number],
    );
    await recordOn(client, generation, scope, who, 'retry-parked', parked.length);
    return parked.length;
  });
}

export function drop(pool: pg.Pool, model: ReadModel, scope: string, who: string): Promise<number> {
  return onServing(pool, model, scope, async (client, generation, _held, parked) => {
    await remove(client, generation, scope);
    await recordOn(client, generation, scope, who, 'drop-parked', parked.length);
    return parked.length;
  });
}

type Connection = pg.Pool | pg.PoolClient;

async function servingGeneration(connection: Connection, model: ReadModel): Promise<Generation | undefined> {
  const { rows } = await connection.query<Generation>(
    `select model, number, version, columns, table_name as "table", state, stage, wish, dry_run as "dryRun",
       accepted, incarnation
     from tallyback.generation where model = $1 and version = $2 and state = 'serving'`,
    [model.name, model.version],
  );
  return rows[0];
}

/** Does it on the generation that serves, while nobody else writes to it; whoever did must claim it again. */
function onServing<R>(
  pool: pg.Pool,
  model: ReadModel,
  scope: string,
  work: (
    client: pg.PoolClient,
    generation: Generation,
    held: Held,
    parked: readonly ParkedEvent[],
  ) => Promise<R>,
): Promise<R> {
  return inTransaction(pool, async (client) => {
    const found = await servingGeneration(client, model);
    if (!found) {
      throw new OperatorRefused('NOT_NOW', `no generation of ${model.name} serves that this release folds`);
    }
    const held = await lockCheckpoint(client, leaseName(found));
    // Another one may have taken its place while we waited for the lock.
    const generation = await servingGeneration(client, model);
    if (!held || generation?.number !== found.number) {
      throw new OperatorRefused('NOT_NOW', `another generation of ${model.name} has just begun to serve`);
    }
    const parked = await events(client, model, generation.number, scope);
    if (parked.length === 0) {
      throw new OperatorRefused('NOT_FOUND', `nothing is parked in ${scope} of ${model.name}`);
    }
    const answer = await work(client, generation, held, parked);
    await client.query(
      'update tallyback.checkpoint set epoch = epoch + 1, updated_at = now() where name = $1',
      [held.name],
    );
    return answer;
  });
}

async function lockCheckpoint(client: pg.PoolClient, name: string): Promise<Held | undefined> {
  const { rows } = await client.query<{ position: string; epoch: string }>(
    'select position, epoch::text from tallyback.checkpoint where name = $1 for update',
    [name],
  );
  const [row] = rows;
  return row && { name, position: readPosition(row.position), epoch: BigInt(row.epoch) };
}

const remove = async (client: pg.PoolClient, generation: Generation, scope: string): Promise<void> =>
  void (await client.query(
    'delete from tallyback.parked_event where model = $1 and number = $2 and scope = $3',
    [generation.model, generation.number, scope],
  ));

const recordOn = (
  client: pg.PoolClient,
  { model, number }: Generation,
  scope: string,
  who: string,
  action: string,
  count: number,
): Promise<void> =>
  recordAction(client, { who, action, subject: `${model}/${number} ${scope}`, detail: { events: count } });
