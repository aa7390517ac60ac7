/** What anybody can see of checkpoints and generations, whoever works on them, at one moment. */
import type pg from 'pg';
import type { Position } from '../../eventstore/port.ts';
import { readPosition } from './checkpoints.ts';

export interface Observations {
  readonly checkpoints: readonly {
    /** "projection:balance/2", "policy:order-rebate". */
    readonly name: string;
    readonly position: Position;
    /** Since it moved last, on the database's clock. */
    readonly idleSeconds: number;
    /** Its writer has given up. */
    readonly failed: boolean;
  }[];
  /** What is being built. */
  readonly building: readonly {
    readonly model: string;
    readonly stage: string;
    readonly remainingSeconds: number | undefined;
  }[];
  /** Events that wait in generations that serve, by read model. */
  readonly parked: ReadonlyMap<string, number>;
}

interface Row {
  readonly checkpoints: readonly {
    readonly name: string;
    readonly position: string;
    readonly idle: number;
    readonly failed: boolean;
  }[];
  readonly building: readonly {
    readonly model: string;
    readonly stage: string;
    readonly remaining: number | null;
  }[];
  readonly parked: readonly { readonly model: string; readonly events: number }[];
}

export async function observe(pool: pg.Pool): Promise<Observations> {
  const { rows } = await pool.query<Row>(
    `select
       (select coalesce(json_agg(json_build_object('name', name, 'position', position,
          'idle', greatest(0, extract(epoch from now() - updated_at)), 'failed', coalesce(failed_epoch = epoch, false))), '[]')
        from tallyback.checkpoint) as checkpoints,
       (select coalesce(json_agg(json_build_object('model', model, 'stage', stage, 'remaining', remaining_seconds)), '[]')
        from tallyback.generation where state = 'building') as building,
       (select coalesce(json_agg(json_build_object('model', model, 'events', events)), '[]')
        from (select p.model, count(*)::int as events from tallyback.parked_event p
              join tallyback.generation g on g.model = p.model and g.number = p.number and g.state = 'serving'
              group by p.model) waiting) as parked`,
  );
  const [row] = rows;
  if (!row) throw new Error('the database did not answer');
  return {
    checkpoints: row.checkpoints.map(({ name, position, idle, failed }) => ({
      name,
      position: readPosition(position),
      idleSeconds: idle,
      failed,
    })),
    building: row.building.map(({ model, stage, remaining }) => ({
      model,
      stage,
      remainingSeconds: remaining ?? undefined,
    })),
    parked: new Map(row.parked.map(({ model, events }) => [model, events])),
  };
}
