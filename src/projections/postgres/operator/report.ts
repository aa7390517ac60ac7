/** Generations as operators want to know them. */
import type pg from 'pg';
import { formatPosition, logStart, type Position } from '../../../eventstore/port.ts';
import type { GenerationReport } from '../../engine/operator.ts';
import type { Comparison, Failure, Generation, RebuildReport } from '../../engine/storage.ts';
import { lives, readPosition } from '../checkpoints.ts';

interface Row extends Generation {
  readonly position: string | null;
  readonly owner: string | null;
  readonly able: readonly string[];
  readonly failure: {
    readonly error: string;
    readonly stack: string | null;
    readonly at: string | null;
  } | null;
  readonly requestedAt: Date;
  readonly finishedAt: Date | null;
  readonly target: string | null;
  readonly events: string;
  readonly eventsPerSecond: number | null;
  readonly remainingSeconds: number | null;
  readonly report: StoredReport | null;
  readonly parked: string;
}

/** Numbers that JSON has no room for are texts. */
interface StoredReport {
  readonly comparison?: {
    readonly through: { readonly commit: string; readonly prepare: string };
    readonly rows: { readonly before: string; readonly after: string };
    readonly checksum: Comparison['checksum'];
    readonly differences: string;
    readonly examples: readonly {
      readonly key: string;
      readonly before: string | null;
      readonly after: string | null;
    }[];
  };
  readonly error?: string;
}

const reports = `select g.model, g.number, g.version, g.columns, g.table_name as "table", g.state, g.stage, g.wish,
    g.dry_run as "dryRun", g.accepted, g.incarnation, g.requested_at as "requestedAt", g.finished_at as "finishedAt",
    g.target, g.events::text, g.events_per_second as "eventsPerSecond", g.remaining_seconds as "remainingSeconds",
    g.report, c.position,
    (select i.id from tallyback.instance i where i.id = c.owner and ${lives}) as owner,
    (select coalesce(json_agg(i.id order by i.id), '[]') from tallyback.instance i
     where c.name = any(i.able) and ${lives}) as able,
    -- What failed under an epoch before this one is being tried again.
    case when c.failed_epoch = c.epoch
      then json_build_object('error', c.error, 'stack', c.stack, 'at', c.failed_at_position) end as failure,
    (select count(*) from tallyback.parked_event p where p.model = g.model and p.number = g.number)::text as parked
  from tallyback.generation g
  left join tallyback.checkpoint c on c.name = 'projection:' || g.model || '/' || g.number`;

/** All that are not dropped. */
export async function generationReports(pool: pg.Pool): Promise<readonly GenerationReport[]> {
  const { rows } = await pool.query<Row>(`${reports} where g.state <> 'dropped' order by g.model, g.number`);
  return rows.map(toReport);
}

/** Also one that is dropped. */
export async function generationReport(
  pool: pg.Pool,
  model: string,
  number: number,
): Promise<GenerationReport | undefined> {
  const { rows } = await pool.query<Row>(`${reports} where g.model = $1 and g.number = $2`, [model, number]);
  return rows[0] && toReport(rows[0]);
}

function toReport(row: Row): GenerationReport {
  const failure: Failure | undefined = row.failure
    ? {
        error: row.failure.error,
        stack: row.failure.stack ?? undefined,
        at: row.failure.at === null ? undefined : readPosition(row.failure.at),
      }
    : undefined;
  return {
    ...row,
    stage: failure && row.state === 'building' ? 'failed' : row.stage,
    position: readPosition(row.position ?? formatPosition(logStart)),
    owner: row.owner ?? undefined,
    failure,
    finishedAt: row.finishedAt ?? undefined,
    target: row.target === null ? undefined : readPosition(row.target),
    events: BigInt(row.events),
    eventsPerSecond: row.eventsPerSecond ?? undefined,
    remainingSeconds: row.remainingSeconds ?? undefined,
    report: row.report ? readReport(row.report) : undefined,
    parked: BigInt(row.parked),
  };
}

function readReport({ comparison, error }: StoredReport): RebuildReport {
  return {
    error,
    comparison: comparison && {
      through: positionOf(comparison.through),
      rows: { before: BigInt(comparison.rows.before), after: BigInt(comparison.rows.after) },
      checksum: comparison.checksum,
      differences: BigInt(comparison.differences),
      examples: comparison.examples.map(({ key, before, after }) => ({
        key,
        before: before ?? undefined,
        after: after ?? undefined,
      })),
    },
  };
}

const positionOf = ({ commit, prepare }: { commit: string; prepare: string }): Position => ({
  commit: BigInt(commit),
  prepare: BigInt(prepare),
});
