"""Every setting of the service: one field with type, default and description; the documentation tables come from here.

Read, in this order of precedence, from the environment (`GATEWAY_<SECTION>__<FIELD>`, and the vendor's own `AVARA_API_KEY`,
`AVARA_BASE_URL`), then from the TOML file that `GATEWAY_CONFIG` or `--config` names. Carries out no clause of a standard.
"""
