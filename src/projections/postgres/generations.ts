/** Generations as they are recorded, and the instances that work on them. */
import type pg from 'pg';
import type { Beat, Cluster, Generation } from '../engine/storage.ts';
import { lives } from './checkpoints.ts';

/** As JSON, in the engine's words. */
const asJson = `json_build_object('model', model, 'number', number, 'version', version, 'columns', columns,
  'table', table_name, 'state', state, 'stage', stage, 'wish', wish, 'dryRun', dry_run, 'accepted', accepted,
  'incarnation', incarnation)`;

const all = `select coalesce(json_agg(${asJson} order by model, number), '[]')
  from tallyback.generation where state <> 'dropped'`;

export async function generations(pool: pg.Pool): Promise<readonly Generation[]> {
  const { rows } = await pool.query<{ all: readonly Generation[] }>(`select (${all}) as all`);
  return rows[0]?.all ?? [];
}

/** One statement, whatever there is to say and to see: an instance that idles costs one a second. */
export async function beat(pool: pg.Pool, { instance, able, ttl }: Beat): Promise<Cluster> {
  const { rows } = await pool.query<Cluster>({
    name: 'beat',
    text: `with me as (
        insert into tallyback.instance (id, able, live_until)
        values ($1, $2, now() + $3 * interval '1 millisecond')
        on conflict (id) do update set able = excluded.able, live_until = excluded.live_until
      ), gone as (
        delete from tallyback.instance where live_until < now() - interval '1 hour' and id <> $1
      )
      select
        (select coalesce(json_agg(json_build_object('id', i.id, 'able', i.able)), '[]')
         from tallyback.instance i where ${lives} and i.id <> $1) as instances,
        (select coalesce(json_agg(json_build_object('name', c.name, 'owner', c.owner)), '[]')
         from tallyback.checkpoint c
         where c.owner = $1 or exists (select from tallyback.instance i where i.id = c.owner and ${lives})) as leases,
        (${all}) as generations`,
    values: [instance, able, ttl],
  });
  const [seen] = rows;
  if (!seen) throw new Error('the database did not answer');
  // The statement sees the table as it was before itself.
  return { ...seen, instances: [...seen.instances, { id: instance, able }] };
}

export async function leave(pool: pg.Pool, instance: string): Promise<void> {
  await pool.query(
    `with gone as (delete from tallyback.instance where id = $1)
     update tallyback.checkpoint set owner = null where owner = $1`,
    [instance],
  );
}
