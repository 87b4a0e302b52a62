"""Which module stands on which level."""

# Imports point down, or along a level. A new module says here where it stands.
STANDS = {
    0: """
        chance chance_record clock effective grams host interval_columns intervals lags measures
        moments once origin pair pair_rows pairing products quota result rounding sample sample_rows
        schema spectrum table text_clock totals units variates
    """,
    1: """
        ahead as_found audio circumstances columns course ctc frames input_frames labels lineup
        location machine_paths markdown memory models probe reading reproduce run sample_file
        savepoint source states storage stream tensor_file tiles
    """,
    2: """
        advice alarm cells claims comparison contrast convergence design differences drift_table
        drifting earlier floor hearing identification indicators jobs listening merging model_matrix
        paired plan planning profile_table profiling reduction rescoring run_statistics scoring
        session several spreading summary training trajectory trajectory_runs verdict_table watching
    """,
    3: """
        app callback demo drift_plot evaluation experiment heatmap_cells hub matrix_plot plot
        profile_plot release report robust_plot selftest sheet space trajectory_layers
        trajectory_panels trajectory_plot viewer watch_plot
    """,
    4: "__main__ cli terminal",
}
