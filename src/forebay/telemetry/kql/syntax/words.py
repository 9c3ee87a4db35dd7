"""Which words of the language cannot be names without `['...']`.

Source: https://learn.microsoft.com/kusto/query/schema-entities/entity-names, and what Kusto's own parser refuses.
"""

from __future__ import annotations

# where a name is given: `extend and = 1`
NOT_FOR_DEFINITIONS = frozenset(
    "3Dchart and anomalychart areachart asc assert-schema bagexpansion barchart between bin_legacy boolean byte card char "
    "columnchart contains_cs containscs datascope date datetime decimal decodeblocks desc double dynamic endswith endswith_cs "
    "execute-and-cache expandoutput external_data first flags float granny-asc granny-desc graph-mark-components graph-match "
    "graph-shortest-paths graph-to-table graph-where-edges graph-where-nodes has_all has_any has_cs hasprefix hasprefix_cs "
    "hassuffix hassuffix_cs hotcache int int16 int32 int64 int8 isfuzzy ladderchart last like likecs linechart long "
    "macro-expand make-graph make-series materialized-view-combine mv-apply mv-expand nooptimization notcontains notcontainscs "
    "notlike notlikecs or others parse-kv parse-where piechart pivotchart project project-away project-by-names project-keep "
    "project-rename project-reorder project-smart real relaxed scatterchart simple stackedareachart startswith startswith_cs "
    "string time timechart timeline timepivot timespan treemap uint uint8 ulong union uniqueid with_itemindex with_match_id "
    "with_step_name in~ !in !in~ !between !contains !contains_cs !endswith !endswith_cs !has !has_cs !hasprefix !hasprefix_cs "
    "!hassuffix !hassuffix_cs !startswith !startswith_cs true True TRUE false False FALSE".split()
)
# more than where a name is given: `extend where = 1` is fine, `where where == 1` is not
NOT_FOR_REFERENCES = NOT_FOR_DEFINITIONS | frozenset(
    "accumulate as by contains consume datatable distinct extend externaldata find filter has in invoke limit materialize of "
    "parse print sample sample-distinct scan search serialize set sort summarize take title to top top-hitters top-nested "
    "toscalar totable where".split()
)
