/** What a scenario reports. */
export interface Result {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** The raw limit measured in the same run. */
  readonly peer?: { readonly name: string; readonly value: number; readonly unit: string };
  readonly note?: string;
}
