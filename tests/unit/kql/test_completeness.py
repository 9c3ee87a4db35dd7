"""Everything that Kusto documents is either there or refused by name, with a reason.

Source of the names: https://learn.microsoft.com/kusto/query/, https://github.com/microsoft/Kusto-Query-Language
"""

from __future__ import annotations

import pytest

from forebay.telemetry.kql import functions
from forebay.telemetry.kql.binding import (
    program,  # noqa: F401 - it declares what is special
    spread,
)
from forebay.telemetry.kql.binding.expressions import SPECIAL
from forebay.telemetry.kql.binding.operators import evaluate
from forebay.telemetry.kql.compiler import compile_query
from forebay.telemetry.kql.errors import KqlError
from forebay.telemetry.kql.functions import registry
from forebay.telemetry.kql.types import schema_of

FUNCTIONS = """
abs acos ago around array_concat array_iff array_iif array_index_of array_length array_reverse array_rotate_left array_rotate_right
array_shift_left array_shift_right array_slice array_sort_asc array_sort_desc array_split array_strcat array_sum asin assert atan atan2
bag_has_key bag_keys bag_merge bag_pack bag_pack_columns bag_remove_keys bag_set_key bag_zip base64_decode_toarray base64_decode_toguid
base64_decode_tostring base64_encode_fromarray base64_encode_fromguid base64_encode_tostring beta_cdf beta_inv beta_pdf bin bin_at bin_auto
binary_and binary_not binary_or binary_shift_left binary_shift_right binary_xor bitset_count_ones case ceiling coalesce column_ifexists
column_names_of columnifexists convert_angle convert_energy convert_force convert_length convert_mass convert_speed convert_temperature
convert_volume cos cot countof current_cluster_endpoint current_database current_principal current_principal_details
current_principal_is_member_of cursor_after cursor_before_or_at cursor_current database datepart datetime_add datetime_diff
datetime_list_timezones datetime_local_to_utc datetime_part datetime_utc_to_local dayofmonth dayofweek dayofyear dcount_hll degrees
dynamic_to_json endofday endofmonth endofweek endofyear entity_group erf erfc estimate_data_size exp exp10 exp2 extent_id extent_tags
external_table extract extract_all extract_json extractall extractjson floor format_bytes format_datetime format_ipv4 format_ipv4_mask
format_timespan gamma geo_angle geo_azimuth geo_closest_point_on_line geo_closest_point_on_polygon geo_distance_2points
geo_distance_point_to_line geo_distance_point_to_polygon geo_from_wkt geo_geohash_neighbors geo_geohash_to_central_point
geo_geohash_to_polygon geo_h3cell_children geo_h3cell_level geo_h3cell_neighbors geo_h3cell_parent geo_h3cell_rings
geo_h3cell_to_central_point geo_h3cell_to_polygon geo_info_from_ip_address geo_intersection_2lines geo_intersection_2polygons
geo_intersection_line_with_polygon geo_intersects_2lines geo_intersects_2polygons geo_intersects_line_with_polygon geo_line_buffer
geo_line_centroid geo_line_densify geo_line_interpolate_point geo_line_length geo_line_locate_point geo_line_simplify geo_line_to_s2cells
geo_point_buffer geo_point_in_circle geo_point_in_polygon geo_point_to_geohash geo_point_to_h3cell geo_point_to_s2cell geo_polygon_area
geo_polygon_buffer geo_polygon_centroid geo_polygon_densify geo_polygon_perimeter geo_polygon_simplify geo_polygon_to_h3cells
geo_polygon_to_s2cells geo_s2cell_neighbors geo_s2cell_to_central_point geo_s2cell_to_polygon geo_simplify_polygons_array
geo_union_lines_array geo_union_polygons_array getmonth gettype getyear graph gzip_compress_to_base64_string
gzip_decompress_from_base64_string has_any_index has_any_ipv4 has_any_ipv4_prefix has_ipv4 has_ipv4_prefix hash hash_combine hash_many
hash_md5 hash_sha1 hash_sha256 hash_xxhash64 hll_merge hourofday iff iif indexof indexof_regex ingestion_time inner_nodes ipv4_compare
ipv4_is_in_any_range ipv4_is_in_range ipv4_is_match ipv4_is_private ipv4_netmask_suffix ipv4_range_to_cidr_list ipv6_compare
ipv6_is_in_any_range ipv6_is_in_range ipv6_is_match isascii isempty isfinite isinf isnan isnotempty isnotnull isnull isutf8 jaccard_index
labels log log10 log2 loggamma make_datetime make_string make_timespan materialize materialized_view max_of merge_tdigest min_of
monthofyear new_guid next node_degree_in node_degree_out node_id not notempty notnull now pack pack_all pack_array pack_dictionary
parse_command_line parse_csv parse_ipv4 parse_ipv4_mask parse_ipv6 parse_ipv6_mask parse_json parse_path parse_url parse_urlquery
parse_user_agent parse_version parse_xml parsejson percentile_tdigest percentrank_tdigest pi pow prev punycode_domain_from_string
punycode_domain_to_string punycode_from_string punycode_to_string radians rand range rank_tdigest regex_quote repeat replace replace_regex
replace_string replace_strings reverse round row_cumsum row_number row_rank_dense row_rank_min row_window_session series_abs series_acos
series_add series_asin series_atan series_ceiling series_cos series_cosine_similarity series_decompose series_decompose_anomalies
series_decompose_forecast series_divide series_dot_product series_equals series_exp series_fft series_fill_backward series_fill_const
series_fill_forward series_fill_linear series_fir series_fit_2lines series_fit_2lines_dynamic series_fit_line series_fit_line_dynamic
series_fit_poly series_floor series_greater series_greater_equals series_ifft series_iir series_less series_less_equals series_log
series_magnitude series_multiply series_not_equals series_outliers series_pearson_correlation series_periods_detect
series_periods_validate series_pow series_product series_seasonal series_sign series_sin series_stats series_stats_dynamic series_subtract
series_sum series_tan set_difference set_equals set_has_element set_intersect set_union sign sin split sqrt startofday startofmonth
startofweek startofyear stored_query_result strcat strcat_array strcat_delim strcmp string_size strlen strrep substring tan tdigest_merge
tobool toboolean todatetime todecimal todouble todynamic toguid tohex toint tolong tolower toobject toreal toscalar tostring totime
totimespan toupper translate treepath trim trim_end trim_start unicode_codepoints_from_string unicode_codepoints_to_string
unixtime_microseconds_todatetime unixtime_milliseconds_todatetime unixtime_nanoseconds_todatetime unixtime_seconds_todatetime url_decode
url_encode url_encode_component week_of_year weekofyear welch_test zip zlib_compress_to_base64_string zlib_decompress_from_base64_string
""".split()
AGGREGATES = """
any anyif arg_max arg_min argmax argmin avg avgif binary_all_and binary_all_or binary_all_xor buildschema count count_distinct
count_distinctif countif covariance covarianceif covariancep covariancepif dcount dcountif hll hll_if hll_merge make_bag make_bag_if
make_list make_list_if make_list_with_nulls make_set make_set_if makelist makeset max maxif min minif percentile percentiles
percentiles_array percentilesw percentilesw_array percentilew stdev stdevif stdevp sum sumif take_any take_anyif tdigest tdigest_merge
variance varianceif variancep variancepif
""".split()
PLUGINS = """
active_users_count activity_counts_metrics activity_engagement activity_metrics ai_chat_completion ai_embed_text autocluster
azure_digital_twins_query_request bag_unpack basket cosmosdb_sql_request dcount_intersect diffpatterns diffpatterns_text
funnel_sequence funnel_sequence_completion geo_line_lookup geo_polygon_lookup http_request http_request_post infer_storage_schema
ipv4_lookup ipv6_lookup mysql_request narrow new_activity_metrics pivot postgresql_request preview python r rolling_percentile rows_near
schema_merge sequence_detect session_count sliding_window_counts sql_request
""".split()
OPERATORS = {
    "as": "T | as X",
    "consume": "T | consume",
    "count": "T | count",
    "datatable": "datatable(a: long) [1]",
    "distinct": "T | distinct a",
    "evaluate": "T | project a, s | evaluate narrow()",
    "extend": "T | extend b = a",
    "find": "find in (T) where a == 1 project a",
    "getschema": "T | getschema",
    "invoke": "let f = (t: (a: long)) { t }; T | invoke f()",
    "join": "T | join T on a",
    "limit": "T | limit 1",
    "lookup": "T | lookup T on a",
    "make-series": "T | make-series count() on t step 1h",
    "mv-apply": "T | mv-apply d on (take 1)",
    "mv-expand": "T | mv-expand d",
    "order": "T | order by a",
    "parse": "T | parse s with 'a' b",
    "parse-kv": "T | parse-kv s as (b: long)",
    "parse-where": "T | parse-where s with 'a' b",
    "partition": "T | partition by a (take 1)",
    "print": "print 1",
    "project": "T | project a",
    "project-away": "T | project-away a",
    "project-by-names": "T | project-by-names 'a'",
    "project-keep": "T | project-keep a",
    "project-rename": "T | project-rename b = a",
    "project-reorder": "T | project-reorder t",
    "range": "range x from 1 to 2 step 1",
    "render": "T | render timechart",
    "sample": "T | sample 1",
    "sample-distinct": "T | sample-distinct 1 of a",
    "scan": "T | sort by a asc | scan with (step x: true;)",
    "search": "T | search 'x'",
    "serialize": "T | serialize",
    "sort": "T | sort by a",
    "summarize": "T | summarize count()",
    "take": "T | take 1",
    "top": "T | top 1 by a",
    "top-hitters": "T | top-hitters 1 of a",
    "top-nested": "T | top-nested 1 of a by count()",
    "union": "union T, T",
    "where": "T | where a == 1",
}
REFUSED_OPERATORS = {
    "externaldata": "externaldata(a: long) ['x']",
    "facet": "T | facet by a",
    "fork": "T | fork (take 1) (take 2)",
    "graph-match": "T | graph-match (a) project a",
    "make-graph": "T | make-graph a --> b",
    "macro-expand": "macro-expand E as X (X.T)",
    "reduce": "T | reduce by s",
}
SCHEMA = schema_of({"T": [("a", "long"), ("s", "string"), ("d", "dynamic"), ("t", "datetime")]})


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    functions.load()
    spread.load()
    compile_query("T | project a, s | evaluate narrow()", SCHEMA)


@pytest.mark.parametrize("name", sorted({*FUNCTIONS, *AGGREGATES}))
def test_a_function_of_kusto_is_there_or_refused(name: str) -> None:
    is_there = bool(registry.find(name)) or name in SPECIAL or name in spread.SPREADS
    assert is_there != (name in registry.REFUSED), "either it is there, or a reason is given"
    assert len(registry.REFUSED.get(name, "a reason that helps")) > 15


@pytest.mark.parametrize("name", PLUGINS)
def test_a_plugin_of_kusto_is_there_or_refused(name: str) -> None:
    assert (name in evaluate.PLUGINS) != (name in evaluate.REFUSED)


@pytest.mark.parametrize("text", OPERATORS.values(), ids=OPERATORS)
def test_an_operator_of_kusto_is_there(text: str) -> None:
    assert compile_query(text, SCHEMA).statement.sql


@pytest.mark.parametrize(("name", "text"), REFUSED_OPERATORS.items(), ids=REFUSED_OPERATORS)
def test_an_operator_that_is_refused_is_named(name: str, text: str) -> None:
    with pytest.raises(KqlError) as wrong:
        compile_query(text, SCHEMA)
    found = wrong.value.diagnostics[0]
    assert (found.code, found.construct) == ("unsupported", name)
    assert text[found.start : found.end].startswith(name)


def test_names_that_are_only_ours_cannot_be_called() -> None:
    for name in ("member", "element", "to_dynamic", "take_any_of_row", "bag_pack_without_empty", "kql_set_union_0"):
        with pytest.raises(KqlError):
            compile_query(f"T | extend x = {name}(d, 'x')", SCHEMA)
