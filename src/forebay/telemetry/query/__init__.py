"""KQL over the tables: translated to SQL, checked twice, run read-only on what one project may see."""
