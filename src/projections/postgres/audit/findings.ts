/** Where the audit is, and what it has found. */
import type pg from 'pg';
import { formatPosition, type Position } from '../../../eventstore/port.ts';
import type { Difference } from '../../audit/difference.ts';
import type { AuditReport, AuditState, Finding } from '../../audit/storage.ts';
import type { Generation, Held } from '../../engine/storage.ts';
import { plain, readPosition } from '../checkpoints.ts';
import { inTransaction } from '../transaction.ts';

export async function load(pool: pg.Pool): Promise<AuditState | undefined> {
  const { rows } = await pool.query<{ position: string; state: StoredState }>(
    'select position, state from tallyback.audit',
  );
  const [row] = rows;
  return (
    row && { ...row.state, position: readPosition(row.position), walked: readPosition(row.state.walked) }
  );
}

type StoredState = Omit<AuditState, 'position' | 'walked'> & { readonly walked: string };

/** Checkpoint and state in one statement: never one without the other. */
export async function save(
  pool: pg.Pool,
  { name, epoch }: Held,
  from: Position,
  { position, walked, ...state }: AuditState,
): Promise<boolean> {
  const stored: StoredState = { ...state, walked: formatPosition(walked) };
  const { rowCount } = await pool.query({
    name: 'audit-save',
    text: `with moved as (
        update tallyback.checkpoint set position = $4, updated_at = now()
        where name = $1 and epoch = $2 and position = $3 returning 1
      )
      insert into tallyback.audit as a (position, state, last_success_at)
      select $4, $5, now() from moved
      on conflict (only_row) do update
        set position = excluded.position, state = excluded.state, last_success_at = excluded.last_success_at`,
    values: [name, epoch, formatPosition(from), formatPosition(position), JSON.stringify(stored)],
  });
  return rowCount === 1;
}

/** Answers how many are new. */
export function note(
  pool: pg.Pool,
  { model, number }: Generation,
  key: readonly string[],
  found: readonly Difference[],
): Promise<number> {
  const columns = found.map(({ column }) => column);
  return inTransaction(pool, async (client) => {
    await client.query(
      `update tallyback.audit_finding set mended_at = now()
       where model = $1 and number = $2 and key = $3 and mended_at is null and not column_name = any($4)`,
      [model, number, keyOf(key), columns],
    );
    let fresh = 0;
    for (const { column, stored, right } of found) {
      const { rows } = await client.query<{ fresh: boolean }>(
        `insert into tallyback.audit_finding as f (model, number, key, column_name, stored, "right")
         values ($1, $2, $3, $4, $5, $6)
         on conflict (model, number, md5(key), column_name) where mended_at is null
         do update set last_seen_at = now(), stored = excluded.stored, "right" = excluded."right"
         returning xmax = 0 as fresh`,
        [model, number, keyOf(key), column, text(stored), text(right)],
      );
      if (rows[0]?.fresh) fresh++;
    }
    return fresh;
  });
}

const keyOf = (key: readonly string[]): string => plain(JSON.stringify(key));
const text = (value: string | undefined): string | null => (value === undefined ? null : plain(value));

/** Rows looked at again at a time: an audit that has found more has said enough. */
const mostOpen = 200;

export async function open(
  pool: pg.Pool,
  { model, number }: Generation,
): Promise<readonly (readonly string[])[]> {
  const { rows } = await pool.query<{ key: string }>(
    `select key from tallyback.audit_finding where model = $1 and number = $2 and mended_at is null
     group by key order by min(last_seen_at) limit ${mostOpen}`,
    [model, number],
  );
  return rows.map(({ key }) => JSON.parse(key) as string[]);
}

interface ReportRow {
  readonly last_success_at: Date | null;
  readonly imbalances: Readonly<Record<string, string>> | null;
  readonly differences: readonly { readonly model: string; readonly all: number; readonly open: number }[];
}

export async function report(pool: pg.Pool): Promise<AuditReport> {
  const { rows } = await pool.query<ReportRow>(
    `select a.last_success_at, a.state -> 'imbalances' as imbalances,
       (select coalesce(json_agg(f), '[]') from (
          select f.model, count(*)::int as all,
            (count(*) filter (where mended_at is null and g.state = 'serving'))::int as open
          from tallyback.audit_finding f left join tallyback.generation g on g.model = f.model and g.number = f.number
          group by f.model) f) as differences
     from (select 1) one left join tallyback.audit a on true`,
  );
  const [row] = rows;
  return {
    lastSuccessAt: row?.last_success_at ?? undefined,
    imbalances: new Map(
      Object.entries(row?.imbalances ?? {}).map(([currency, amount]) => [currency, BigInt(amount)]),
    ),
    differences: new Map(
      (row?.differences ?? []).map(({ model, all, open: still }) => [model, { all, open: still }]),
    ),
  };
}

interface FindingRow {
  readonly id: string;
  readonly model: string;
  readonly number: number;
  readonly key: string;
  readonly column_name: string;
  readonly stored: string | null;
  readonly right: string | null;
  readonly found_at: Date;
  readonly last_seen_at: Date;
  readonly mended_at: Date | null;
}

export async function findings(pool: pg.Pool, limit: number): Promise<readonly Finding[]> {
  const { rows } = await pool.query<FindingRow>(
    'select * from tallyback.audit_finding order by mended_at is not null, id desc limit $1',
    [limit],
  );
  return rows.map((row) => ({
    id: BigInt(row.id),
    readModel: row.model,
    generation: row.number,
    key: JSON.parse(row.key) as string[],
    column: row.column_name,
    stored: row.stored ?? undefined,
    right: row.right ?? undefined,
    foundAt: row.found_at,
    lastSeenAt: row.last_seen_at,
    mendedAt: row.mended_at ?? undefined,
  }));
}
