import { describe, expect, test } from 'vitest';
import { kindOf, type TemplateKind } from '../../src/template/escapes.ts';
import { scopeOf } from '../../src/template/event-scope.ts';
import { Template } from '../../src/template/template.ts';
import { type SampleFields, sampleEvent } from '../support/sample-event.ts';

function rendered(source: string, kind: TemplateKind, payload = '{}', fields: SampleFields = {}): string {
  const template = Template.read(source, kind);
  if (typeof template === 'string') throw new Error(template);
  return template.render(scopeOf(sampleEvent({ ...fields, payload })));
}

const failing = (source: string, payload?: string) => () => rendered(source, 'text', payload);

describe('a value is escaped by the kind of the text', () => {
  const hostile = JSON.stringify({ x: `"a\\b"\n<!channel> & 'c' \u2028` });
  test.each<[TemplateKind, string]>([
    ['json', '"{{ payload.x }}"'],
    ['slack', '"{{ payload.x }}"'],
    ['json', '{{ payload.x | json }}'],
    ['slack', '{{ payload.x | json }}'],
    ['json', '"{% echo payload.x %}"'],
    ['json', '"{% cycle payload.x, "b" %}"'],
  ])('%s: %s', (kind, source) => {
    const text = JSON.parse(rendered(source, kind, hostile)) as string;
    const meant = (JSON.parse(hostile) as { x: string }).x;
    expect(text).toBe(kind === 'json' ? meant : meant.replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;'));
  });

  test('HTML, a form and plain text', () => {
    const payload = JSON.stringify({ x: `<b a="1">&'</b>\nd` });
    expect(rendered('{{ payload.x }}', 'html', payload)).toBe('&lt;b a=&quot;1&quot;&gt;&amp;&#39;&lt;/b&gt;\nd');
    expect(rendered('{{ payload.x | newline_to_br }}', 'html', payload)).toContain('&lt;/b&gt;<br>\nd');
    expect(rendered('a={{ payload.x }}', 'form', '{"x": "1&b=2"}')).toBe('a=1%26b%3D2');
    expect(rendered('{{ payload.x }}', 'text', payload)).toBe(`<b a="1">&'</b>\nd`);
  });

  test('the kind comes from the Content-Type', () => {
    expect(
      ['application/json; charset=utf-8', 'application/vnd.x+json', 'text/html', 'application/xml', 'text/plain'].map(
        kindOf,
      ),
    ).toEqual(['json', 'json', 'html', 'html', 'text']);
  });
});

describe('values of the payload', () => {
  test('numbers leave as they were written, however long', () => {
    const payload =
      '{"n": 12345678901234567890, "m": 1.10, "e": 1e400, "list": [9007199254740993, 7, "9007199254740993"]}';
    expect(
      rendered('{"n": {{ payload.n }}, "m": {{ payload.m | json }}, "all": {{ payload | json }}}', 'json', payload),
    ).toBe(
      '{"n": 12345678901234567890, "m": 1.10, "all": {"n":12345678901234567890,"m":1.10,"e":1e400,"list":[9007199254740993,7,"9007199254740993"]}}',
    );
    expect(rendered('{% if payload.m == 1.1 and payload.n > 5 %}yes{% endif %}', 'text', payload)).toBe('yes');
    expect(rendered('{{ payload.m | plus: 1 }}', 'text', payload)).toBe('2.1');
  });

  test('what is not there is empty, and null as JSON; a list is JSON', () => {
    expect(
      rendered('[{{ payload.a.b }}] {{ payload.c | json }} {{ payload.list }}', 'text', '{"list": [1, "a"]}'),
    ).toBe('[] null [1,"a"]');
  });

  test('no property that JavaScript adds can be reached', () => {
    const source = '{{ payload.constructor }}{{ payload.x.__proto__ }}{{ payload[payload.x] }}';
    expect(rendered(source, 'text', '{"x": "constructor"}')).toBe('');
  });

  test('every field of the envelope can be named', () => {
    const source = '{{ event_id }} {{ event_type }} {{ entity_id }} {{ created_at }} {{ source }} {{ headers.a }}';
    expect(rendered(source, 'text', '{}', { eventId: 'e', entityId: '4', headers: '{"a": 1}' })).toBe(
      'e job.completed 4 2026-11-20T14:00:00.123456Z stream 1',
    );
  });
});

describe('a template that cannot be right is refused when it is read', () => {
  test.each([
    ['{{ ordr_id }}', /^line 1, column 4: names ordr_id, a field that no event has; there is event_id,/],
    ['a\n{% if event_type.x %}{% endif %}', /^line 2, column \d+: names event_type\.x, a field that no event has/],
    ['{% for i in payload.items %}{{ i.name }}{{ item.name }}{% endfor %}', /names item\.name, a field/],
    ['{% include "secret" %}', /^line 1, column 1: tag "include" not found$/],
    ['{% render "/etc/passwd" %}', /tag "render" not found/],
    ['{% layout "a" %}', /tag "layout" not found/],
    ['{% capture a %}{% endcapture %}', /tag "capture" not found/],
    ['{{ payload.a | raw }}', /undefined filter: raw/],
    ['{{ payload.a | where_exp: "i", "i.b" }}', /undefined filter: where_exp/],
    ['{% if payload.a %}s3cret', /^line 1, column 1: this is not Liquid, or a tag is not closed$/],
    ['  ', /^is empty$/],
    ['x'.repeat(300_000), /^has more than 256 KiB$/],
  ])('%s', (source, problem) => {
    expect(Template.read(source, 'text')).toMatch(problem);
  });
});

describe('a template cannot stop the process', () => {
  const loop = '{% for a in (1..1000) %}';
  test.each([
    ['loops inside loops', `${loop}${loop}${loop}{% endfor %}{% endfor %}{% endfor %}`, 'took more than 250 ms', true],
    ['a huge range', '{% for a in (1..1000000000) %}{% endfor %}', 'makes too many values', false],
    [
      'a text that doubles',
      `{% assign x = "ab" %}${loop}{% assign x = x | append: x %}{% endfor %}`,
      'makes too many',
      false,
    ],
    ['a long output', `${loop}${loop}${'x'.repeat(1000)}{% endfor %}{% endfor %}`, 'gives more than 4 MiB', false],
    ['the clock', '{{ "now" | date: "%Y" }}', 'asks for the time of now', false],
  ])('%s', (_name, source, message, isSlow) => {
    const begun = performance.now();
    expect(failing(source)).toThrow(expect.objectContaining({ message: expect.stringContaining(message), isSlow }));
    expect(performance.now() - begun).toBeLessThan(5000);
  });

  const list = `[${'1,'.repeat(1_000_000)}1]`;
  test.each([
    ['lists to sort', `[${list},1]`, 'sort'],
    ['a list to sort by', `[{"b": ${list}}]`, 'sort: "b"'],
    ['a list to look through', list, 'where: "b"'],
    ['a list to find nothing in', list, 'find: "b"'],
    ['a list to add up', list, 'sum'],
    ['a text to take apart', `"${'x'.repeat(5_000_000)}"`, 'split: ""'],
    ['a text to encode', `"${'x '.repeat(1_000_000)}"`, 'url_encode'],
  ])('one filter takes no more than it gets done in time: %s', (_name, value, filter) => {
    const scope = scopeOf(sampleEvent({ payload: `{"a": ${value}}` }));
    const template = Template.read(`{% assign b = payload.a | ${filter} %}`, 'text') as Template;
    const begun = performance.now();
    expect(() => template.render(scope)).toThrow(/^gives a filter too much of this event$/);
    expect(performance.now() - begun).toBeLessThan(250);
  });

  test('what is as large is counted and written', () => {
    expect(rendered('{{ payload.a | size }} {{ payload.a | first }}', 'text', `{"a": ${list}}`)).toBe('1000001 1');
    expect(rendered('{{ payload | json | size }}', 'text', `{"a":${list}}`)).toBe(String(list.length + 6));
  });

  test('a payload that is too long is not parsed', () => {
    expect(failing('{{ payload }}', JSON.stringify('x'.repeat(17 * 1024 ** 2)))).toThrow(
      /the payload has more than 16 MiB/,
    );
  });

  test('a failure holds nothing of the event', () => {
    expect(() => rendered('{"a": {{ payload.a }}}', 'json', '{"a": "s3cret"}')).toThrow(
      /^gives no valid JSON for this event$/,
    );
    expect(
      failing('{{ payload.a | date: payload.a | divided_by: "s3cret" | sum }}', '{"a": {"s3cret": 1}}'),
    ).not.toThrow(/s3cret/);
  });
});
