/** The log as tests look at it. */
import type { EventLog } from './log.ts';
import type { StoredEvent } from './stored-event.ts';

export interface LoggedEvent {
  readonly stream: string;
  readonly revision: number;
  readonly id: string;
  readonly type: string;
  /** As text. */
  readonly data: string;
  readonly metadata: string;
  readonly position: number;
}

export class LogView {
  readonly #log: EventLog;

  constructor(log: EventLog) {
    this.#log = log;
  }

  /** In log order: of one stream, or of all that are not the server's own. */
  events(stream?: string): LoggedEvent[] {
    const wanted = (event: StoredEvent): boolean =>
      stream === undefined ? !event.stream.name.startsWith('$') : event.stream.name === stream;
    return this.#log.all.filter(wanted).map(toLogged);
  }

  /** The server's own included. */
  get size(): number {
    return this.#log.all.length;
  }

  /** Position of the last event, whoever wrote it. */
  get head(): number {
    return this.#log.all.at(-1)?.position ?? 0;
  }
}

const toLogged = (event: StoredEvent): LoggedEvent => ({
  stream: event.stream.name,
  revision: event.revision,
  id: event.id,
  type: event.type.name,
  data: event.data.toString('utf8'),
  metadata: event.metadata.toString('utf8'),
  position: event.position,
});
