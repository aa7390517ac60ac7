/** What an adapter tells its operator: outages and recoveries, never events or their contents. */
export type StoreLog = (
  level: 'debug' | 'info' | 'warn' | 'error',
  message: string,
  detail?: Readonly<Record<string, unknown>>,
) => void;

export const silentLog: StoreLog = () => undefined;

export const errorText = (error: unknown): string => (error instanceof Error ? error.message : String(error));
