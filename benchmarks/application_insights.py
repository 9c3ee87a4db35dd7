"""The tables of Application Insights and of Log Analytics' App tables, with their columns.

Source: https://learn.microsoft.com/azure/azure-monitor/reference/tables/ (apprequests, appdependencies, ...) and the older names that
Application Insights gives the same columns: https://learn.microsoft.com/azure/azure-monitor/app/convert-classic-resource
"""

from __future__ import annotations

from typing import cast

from forebay.telemetry.kql.types import KqlType, Schema, schema_of

_KINDS = {"b": "bool", "d": "datetime", "i": "int", "j": "dynamic", "l": "long", "r": "real", "s": "string"}

# name:kind; a name without a kind is a string
_OLD_COMMON = (
    "timestamp:d id itemType customDimensions:j customMeasurements:j operation_Name operation_Id operation_ParentId "
    "operation_SyntheticSource session_Id user_Id user_AuthenticatedId user_AccountId application_Version client_Type client_Model "
    "client_OS client_IP client_City client_StateOrProvince client_CountryOrRegion client_Browser cloud_RoleName cloud_RoleInstance "
    "appId appName iKey sdkVersion itemId itemCount:i _ResourceId"
)
_COMMON = (
    "TimeGenerated:d Properties:j Measurements:j OperationName OperationId ParentId SyntheticSource SessionId UserId "
    "UserAuthenticatedId UserAccountId AppVersion AppRoleName AppRoleInstance ClientType ClientModel ClientOS ClientIP ClientCity "
    "ClientStateOrProvince ClientCountryOrRegion ClientBrowser ResourceGUID IKey SDKVersion ItemCount:i ReferencedItemId ReferencedType "
    "SourceSystem TenantId Type _BilledSize:r _IsBillable _ItemId _ResourceId _SubscriptionId"
)
_OLD_EXCEPTION = (
    "problemId handledAt type message assembly method outerType outerMessage outerAssembly outerMethod innermostType innermostMessage "
    "innermostAssembly innermostMethod severityLevel:i details:j"
)
_EXCEPTION = (
    "ProblemId HandledAt ExceptionType Message Assembly Method OuterType OuterMessage OuterAssembly OuterMethod InnermostType "
    "InnermostMessage InnermostAssembly InnermostMethod SeverityLevel:i Details:j"
)
_OLD_TABLES = {
    "requests": "source name url success resultCode duration:r performanceBucket",
    "dependencies": "target type name data success resultCode duration:r performanceBucket",
    "traces": "message severityLevel:i",
    "exceptions": _OLD_EXCEPTION,
    "customEvents": "name",
    "customMetrics": "name value:r valueCount:i valueSum:r valueMin:r valueMax:r valueStdDev:r",
    "pageViews": "name url duration:r performanceBucket",
    "browserTimings": "name url networkDuration:r sendDuration:r receiveDuration:r processingDuration:r totalDuration:r performanceBucket",
    "availabilityResults": "name location success message size:r duration:r performanceBucket",
    "performanceCounters": "name category counter instance value:r",
}
_TABLES = {
    "AppRequests": "Id Source Name Url Success:b ResultCode DurationMs:r PerformanceBucket",
    "AppDependencies": "Id Target DependencyType Name Data Success:b ResultCode DurationMs:r PerformanceBucket",
    "AppTraces": "Message SeverityLevel:i",
    "AppExceptions": _EXCEPTION,
    "AppEvents": "Name",
    "AppMetrics": "Name Sum:r Min:r Max:r ItemCount:i",
    "AppPageViews": "Id Name Url DurationMs:r PerformanceBucket",
    "AppBrowserTimings": "Name Url NetworkDurationMs:r SendDurationMs:r ReceiveDurationMs:r ProcessingDurationMs:r TotalDurationMs:r",
    "AppAvailabilityResults": "Id Name Location Success:b Message Size:r DurationMs:r PerformanceBucket",
    "AppPerformanceCounters": "Name Category Counter Instance Value:r",
}


def application_insights() -> Schema:
    """All tables."""
    tables = {name: _columns(f"{columns} {_OLD_COMMON}") for name, columns in _OLD_TABLES.items()}
    tables |= {name: _columns(f"{columns} {_COMMON}") for name, columns in _TABLES.items()}
    return schema_of(tables)


def _columns(text: str) -> list[tuple[str, KqlType]]:
    columns: dict[str, KqlType] = {}
    for entry in text.split():
        name, _, kind = entry.partition(":")
        columns.setdefault(name, cast("KqlType", _KINDS[kind or "s"]))
    return list(columns.items())
