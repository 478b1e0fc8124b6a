/** In `starts`, where a column has no text: SQL NULL, or a TOAST value that the server left out. */
export const NULL = -1;
export const UNSENT = -2;

/**
 * One row as the plugins hand it to the reader: latin1 text, in which each character is a byte, and the place of each
 * column in it. One object a relation, overwritten by its next row, so that a row costs one string and nothing else.
 */
export class Row {
  text = '';
  /** Length of the row in bytes, as it came. */
  size = 0;
  /** No column that the reader watches has a byte above 127: then nothing needs decoding. */
  ascii = true;
  readonly starts: Int32Array;
  readonly ends: Int32Array;

  constructor(columns: number) {
    this.starts = new Int32Array(columns);
    this.ends = new Int32Array(columns);
  }

  /** The column's text in latin1; null when it is NULL or unsent. */
  latin1(column: number): string | null {
    const start = this.starts[column] ?? NULL;
    return start < 0 ? null : this.text.substring(start, this.ends[column]);
  }
}
