from __future__ import annotations

import pytest
from shapes import operator, query


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("T", "T"),
        ("['a table'] | count", "a table | Count()"),
        ("(T | count) | count", "T | Count() | Count()"),
        ("print a = 1, 2, f(x)", "Print(outputs=[a=1, 2, f(x)])"),
        ("range x from 1 to 3 step 1 | count", "Range(name=x, first=1, last=3, step=1) | Count()"),
        ("print range(1, 2)", "Print(outputs=[range(1, 2)])"),
        ("f(1) | take 1", "f(1) | Take(count=1)"),
        ("database('d').T", "database('d').T"),
        ("datatable(a: string, b: long) ['x', -1, 'y', 2,]", "Datatable(columns=[[a, string], [b, long]], values=['x', -1, 'y', 2])"),
        ("datatable(a: dynamic)[]", "Datatable(columns=[[a, dynamic]])"),
        ("externaldata(a: long)[h@'https://x'] with (format='csv')", "ExternalData()"),
        ("union a, (b | count), c*", "UnionSource(union=Union(tables=[a, b | Count(), c*]))"),
        (
            "union withsource=S kind=outer isfuzzy=true a",
            "UnionSource(union=Union(tables=[a], parameters=[withsource=S, kind=outer, isfuzzy=true]))",
        ),
        ("union *", "UnionSource(union=Union(tables=[*]))"),
        ("search 'x'", "SearchSource(search=Search(predicate=:'x'))"),
        (
            "search kind=case_sensitive in (A, B*) c: 'x' and not('y') or a > 1",
            "SearchSource(search=Search(predicate=((c:'x' and not(:'y')) or (a > 1)), tables=[A, B*], parameters=[kind=case_sensitive]))",
        ),
        ("search *", "SearchSource(search=Search(predicate=*))"),
        ("search * and a == 'x'", "SearchSource(search=Search(predicate=(a == 'x')))"),
        (
            "find withsource=S in (A, B*) where x has 'a' project y, z: string",
            "Find(predicate=(x has 'a'), tables=[A, B*], outputs=[y, z.string], parameters=[withsource=S])",
        ),
        ("find x == 1", "Find(predicate=(x == 1))"),
        ("evaluate f(1) | count", "EvaluateSource(evaluate=Evaluate(plugin=f, arguments=[1])) | Count()"),
        ("search 'x' | count", "SearchSource(search=Search(predicate=:'x')) | Count()"),
        ("toscalar(T)", "toscalar(T)"),
    ],
)
def test_a_source_is_read(text: str, wanted: str) -> None:
    assert query(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("where a == 1", "Where(predicate=(a == 1))"),
        ("filter a", "Where(predicate=a)"),
        ("project a, b = c + 1", "Project(outputs=[a, b=(c + 1)])"),
        ("project", "Project()"),
        ("extend (a, b) = f(x), c", "Extend(outputs=[(a, b)=f(x), c])"),
        ("project-away a, b*, *c", "ProjectAway(columns=[a, b*, *c])"),
        ("project-keep *", "ProjectKeep(columns=[*])"),
        ("project-rename a = b", "ProjectRename(outputs=[a=b])"),
        (
            "project-reorder a*, b desc, c granny-asc",
            (
                "ProjectReorder(keys=[ReorderKey(column=a*, direction=), ReorderKey(column=b, direction=desc), "
                "ReorderKey(column=c, direction=granny-asc)])"
            ),
        ),
        ("summarize", "Summarize()"),
        ("summarize count()", "Summarize(aggregates=[count()])"),
        ("summarize by a", "Summarize(keys=[a])"),
        (
            "summarize n = count(), (p, q) = arg_max(x, *) by a, b = bin(t, 1)",
            "Summarize(aggregates=[n=count(), (p, q)=arg_max(x, *)], keys=[a, b=bin(t, 1)])",
        ),
        (
            "summarize hint.strategy=shuffle hint.num_partitions = 5 count() by a",
            "Summarize(aggregates=[count()], keys=[a], parameters=[hint.strategy=shuffle, hint.num_partitions=5])",
        ),
        ("distinct *", "Distinct(columns=[*])"),
        ("distinct a, b", "Distinct(columns=[a, b])"),
        ("count", "Count()"),
        ("extend ['a b'] = 1, ['c ' @'d'] = 2", "Extend(outputs=[a b=1, c d=2])"),
        ("mvexpand a", "MvExpand(columns=[a], limit=128)"),
        ("mvexpand a limit 5", "MvExpand(columns=[a], limit=5)"),
        ("count as n", "Count(name=n)"),
        ("take 10", "Take(count=10)"),
        ("limit x + 1", "Take(count=(x + 1))"),
        (
            "order by a asc nulls first, b, c desc",
            ("Sort(keys=[a asc nulls first, b, c desc])"),
        ),
        ("sort by a nulls last", "Sort(keys=[a nulls last])"),
        ("top 5 by a desc", "Top(count=5, keys=[a desc])"),
        (
            "top-nested 3 of a with others = 'x' by n = count() desc, top-nested of b by sum(c)",
            (
                "TopNested(levels=[TopNestedLevel(count=3, key=a, others='x', aggregate=n=count(), direction=desc), "
                "TopNestedLevel(key=b, aggregate=sum(c), direction=)])"
            ),
        ),
        ("top-hitters 3 of a by b", "TopHitters(count=3, key=a, weight=b)"),
        ("top-hitters 3 of a", "TopHitters(count=3, key=a)"),
        (
            "join kind=inner (U | count) on a, $left.b == $right.c",
            "Join(right=U | Count(), conditions=[a, ($left.b == $right.c)], parameters=[kind=inner])",
        ),
        ("join U on a", "Join(right=U, conditions=[a])"),
        ("lookup kind=leftouter (U) on a", "Lookup(right=U, conditions=[a], parameters=[kind=leftouter])"),
        ("union U, (V | count)", "Union(tables=[U, V | Count()])"),
        ("union database('d').U", "Union(tables=[database('d').U])"),
        ("mv-expand a", "MvExpand(columns=[a])"),
        (
            "mv-expand kind=array with_itemindex=i a, b = c to typeof(long) limit 5",
            "MvExpand(columns=[a, b=c to long], limit=5, parameters=[kind=array, with_itemindex=i])",
        ),
        (
            "mv-apply a to typeof(long) limit 2 on (where a > 1 | count)",
            "MvApply(columns=[a to long], limit=2, body=[Where(predicate=(a > 1)), Count()])",
        ),
        (
            "parse kind=regex flags=Ui a with * 'x' b: long 'y' c *",
            (
                "Parse(expression=a, parts=[ParsePart(), ParsePart(literal=x), ParsePart(name=b, type=long), "
                "ParsePart(literal=y), ParsePart(name=c), ParsePart()], is_where=False, parameters=[kind=regex, flags=Ui])"
            ),
        ),
        ("parse-where a with 'x' b", "Parse(expression=a, parts=[ParsePart(literal=x), ParsePart(name=b)], is_where=True)"),
        (
            "parse-kv a as (x: long, y: string) with (pair_delimiter=' ', kv_delimiter='=')",
            "ParseKv(expression=a, columns=[[x, long], [y, string]], settings=[pair_delimiter=' ', kv_delimiter='='])",
        ),
        (
            "make-series n = count() default = 0, avg(x) on t from a to b step 1 by k, j = l",
            (
                "MakeSeries(aggregates=[SeriesAggregate(expression=n=count(), default=0), "
                "SeriesAggregate(expression=avg(x))], axis=t, first=a, last=b, step=1, keys=[k, j=l])"
            ),
        ),
        (
            "make-series count() on t in range(a, b, c) by k",
            "MakeSeries(aggregates=[SeriesAggregate(expression=count())], axis=t, first=a, last=b, step=c, keys=[k], is_range=True)",
        ),
        (
            "make-series kind=nonempty count() on t step 1",
            "MakeSeries(aggregates=[SeriesAggregate(expression=count())], axis=t, step=1, parameters=[kind=nonempty])",
        ),
        ("serialize", "Serialize()"),
        ("serialize n = row_number()", "Serialize(outputs=[n=row_number()])"),
        ("search 'x'", "Search(predicate=:'x')"),
        ("as x", "As(name=x)"),
        ("sample 5", "Sample(count=5)"),
        ("sample-distinct 5 of a", "SampleDistinct(count=5, key=a)"),
        ("getschema", "GetSchema()"),
        (
            "partition hint.strategy=native by k (where a | count)",
            "Partition(key=k, body=[Where(predicate=a), Count()], parameters=[hint.strategy=native])",
        ),
        ("render timechart", "Render(chart=timechart)"),
        ("consume", "Consume()"),
        ("assert-schema (a: long)", "AssertSchema(columns=[[a, long]])"),
        (
            "render barchart with (title='my chart', ycolumns=a, ['b c'], kind=stacked, ymin=-1, accumulate=true)",
            "Render(chart=barchart, properties=[[title, my chart], [ycolumns, a, b c], [kind, stacked], [ymin, -1], [accumulate, true]])",
        ),
        ("render timechart title='x' kind=stacked", "Render(chart=timechart, properties=[[title, x], [kind, stacked]])"),
        ("render 3Dchart", "Render(chart=3Dchart)"),
        (
            "evaluate hint.distribution=single pivot(a, sum(b)) : (*, x: long)",
            "Evaluate(plugin=pivot, arguments=[a, sum(b)], schema=[[*, ], [x, long]], parameters=[hint.distribution=single])",
        ),
        ("invoke f(a, 1)", "Invoke(name=f, arguments=[a, 1])"),
        (
            "scan with_match_id=m order by t declare (n: long = 0) with (step a output=last: x => n = 1, o = 2; step b optional: y;)",
            (
                "Scan(declarations=[[n, long, 0]], steps=[ScanStep(name=a, condition=x, assignments=[n=1, o=2], output=last), "
                "ScanStep(name=b, condition=y, is_optional=True)], order=[t], parameters=[with_match_id=m])"
            ),
        ),
    ],
)
def test_an_operator_is_read(text: str, wanted: str) -> None:
    assert operator(text) == wanted


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("fork (count) (where a | take 1)", "fork"),
        ("facet by a with (take 1)", "facet"),
        ("reduce by a with threshold=0.1", "reduce"),
        ("make-graph a --> b with T on c", "make-graph"),
        ("graph-match (a)-[e]->(b) where a.x == 1 project b", "graph-match"),
        ("partition by k { T | where a == 1; }", ""),
    ],
)
def test_an_operator_that_is_not_supported_is_read_over(text: str, name: str) -> None:
    if name:
        assert operator(text) == f"Unsupported(name={name})"
        assert query(f"T | {text} | count") == f"T | Unsupported(name={name}) | Count()"
