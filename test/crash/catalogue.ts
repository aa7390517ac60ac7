/**
 * Where the engine keeps what it has made of the log. The one place here that knows names of its tables; all else
 * asks this.
 */
import type { CrashablePostgres } from './crashable-postgres.ts';

export interface Kept {
  readonly head: bigint;
  /** Of every read model that queries are answered from. */
  readonly models: readonly {
    readonly name: string;
    readonly table: string;
    readonly checkpoint: bigint;
    /** The furthest position that a row names; 0 without rows. */
    readonly furthestRow: bigint;
  }[];
  readonly policies: readonly { readonly name: string; readonly checkpoint: bigint }[];
}

const modelNames = ['balance', 'statement', 'orders', 'stock', 'figures', 'leaderboard', 'programme'];

interface Generation {
  readonly model: string;
  readonly number: number;
  readonly table: string;
}

/** The tables that queries are answered from. */
const servingSql = `
  select model, number, 'tallyback.' || table_name as "table" from tallyback.generation where state = 'serving'`;

/** All of one moment: a single statement, so a single snapshot. */
const keptSql = (serving: readonly Generation[]): string => `
  select 'head' as kind, '' as name, coalesce(max(position), 0)::text as checkpoint, '0' as furthest
  from tallyback_log.events
  union all
  select 'policy', name, split_part(position, '/', 1), '0' from tallyback.checkpoint where name like 'policy:%'
  ${serving
    .map(
      ({ model, number, table }) => `union all
  select 'model', '${model}', split_part(position, '/', 1),
         (select coalesce(max(position), 0)::text from ${table})
  from tallyback.checkpoint where name = 'projection:${model}/${number}'`,
    )
    .join('\n')}`;

export async function whatIsKept(postgres: CrashablePostgres): Promise<Kept> {
  const serving = await postgres.query<Generation>(servingSql);
  const rows = await postgres.query<{ kind: string; name: string; checkpoint: string; furthest: string }>(
    keptSql(serving),
  );
  const of = (kind: string) => rows.filter((row) => row.kind === kind);
  // A log without events starts before its first position.
  const position = (text: string): bigint => (text.startsWith('-') ? 0n : BigInt(text));
  return {
    head: position(of('head')[0]?.checkpoint ?? '0'),
    models: of('model').map(({ name, checkpoint, furthest }) => ({
      name,
      table: serving.find(({ model }) => model === name)?.table ?? name,
      checkpoint: position(checkpoint),
      furthestRow: BigInt(furthest),
    })),
    policies: of('policy').map(({ name, checkpoint }) => ({ name, checkpoint: position(checkpoint) })),
  };
}

export const modelCount = modelNames.length;

/** Name of the server that wrote a read model last; servers are known by their connections' application_name. */
export async function lastWriter(postgres: CrashablePostgres): Promise<string | undefined> {
  const rows = await postgres.query<{ name: string }>(
    `select application_name as name from pg_stat_activity
     where query like 'with moved as%' and application_name like 'server-%' order by state_change desc limit 1`,
  );
  return rows[0]?.name;
}
