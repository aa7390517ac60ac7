/** Looking at and interfering with the sessions of a test database, from a session of one's own. */
import pg from 'pg';
import { setTimeout as delay } from 'node:timers/promises';

export class Sessions {
  readonly client: pg.Client;

  private constructor(url: string) {
    this.client = new pg.Client({ connectionString: url, application_name: 'test-observer' });
    this.client.on('error', () => undefined);
  }

  static async connect(url: string): Promise<Sessions> {
    const sessions = new Sessions(url);
    await sessions.client.connect();
    return sessions;
  }

  /** Process ids of the database's sessions of a role: 'append', 'read', 'listen'. */
  async pids(role: string): Promise<number[]> {
    const found = await this.client.query<{ pid: number }>(
      `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1`,
      [`tallyback-log-${role}`],
    );
    return found.rows.map((row) => row.pid);
  }

  /** Ends the role's sessions; gives how many there were. */
  async terminate(role: string): Promise<number> {
    const pids = await this.pids(role);
    for (const pid of pids) await this.client.query('SELECT pg_terminate_backend($1)', [pid]);
    return pids.length;
  }

  /** Resolves when that many append sessions wait for the append lock. */
  async waitForBlocked(count: number): Promise<void> {
    await this.until(
      `SELECT count(*) = ${count} AS yes FROM pg_locks l
        WHERE l.locktype = 'advisory' AND NOT l.granted
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
    );
  }

  async waitForSession(role: string): Promise<void> {
    await this.until(
      `SELECT count(*) > 0 AS yes FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'tallyback-log-${role}' AND state = 'idle'`,
    );
  }

  async until(sql: string): Promise<void> {
    for (;;) {
      const answer = await this.client.query<{ yes: boolean }>(sql);
      if (answer.rows[0]?.yes) return;
      await delay(5);
    }
  }
}
