"""Faults that the feed must survive, F1 to F72, and the test of each.

Carries out no clause of a standard. `PARTLY` lists the parts of a fault that cannot be produced here, and `EXEMPT` the
faults without a test, each with the reason.
"""

from __future__ import annotations

from typing import Final

FAULTS: Final[dict[str, str]] = {
    # The connection
    "F1": "test_f1_a_refused_connection_is_tried_again_until_somebody_listens",
    "F2": "test_f2_a_syn_black_hole_is_given_up_in_time_and_nothing_counts_as_sent",
    "F3": "test_f3_a_name_that_fails_and_then_changes_is_looked_up_again",
    "F4": "test_f4_f5_a_connection_that_ends_as_soon_as_it_is_open_costs_no_message",
    "F5": "test_f4_f5_a_connection_that_ends_as_soon_as_it_is_open_costs_no_message",
    "F6": "test_f6_a_reset_in_the_middle_of_a_frame_is_in_doubt_and_sent_again",
    "F7": "test_f7_a_reset_after_the_frame_and_before_the_ack_sends_the_same_bytes_again",
    "F8": "test_f8_a_reset_in_the_middle_of_the_ack_sends_the_same_bytes_again",
    "F9": "test_f9_a_half_close_by_the_peer_is_noticed_at_once_and_answered_by_a_new_connection",
    "F10": "test_f10_a_connection_that_a_firewall_dropped_without_a_word_is_left_after_the_ack_timeout",
    "F11": "test_f11_a_peer_that_restarts_gets_what_came_meanwhile_once_and_in_order",
    "F12": "test_f12_a_peer_that_closes_after_every_message_costs_no_doubt_and_no_wait",
    "F13": "test_f13_tls_that_is_not_agreed_sends_nothing_and_puts_nothing_in_doubt",
    "F14": "test_f14_a_process_out_of_files_or_local_ports_sends_later",
    "F15": "test_f15_a_zero_window_in_the_middle_of_a_large_message_is_left_when_time_is_up",
    # Timing
    "F16": "test_f16_an_ack_later_than_the_timeout_answers_no_other_message",
    "F17": "test_f17_an_ack_of_a_byte_a_second_does_not_wait_for_ever",
    "F18": "test_f18_of_several_acks_in_one_read_each_message_takes_its_own",
    "F19": "test_f19_an_ack_may_be_split_at_any_offset",
    "F20": "test_f20_an_ack_before_the_end_of_the_frame_is_no_answer_to_it",
    "F21": "test_f21_a_peer_that_demands_a_pause_between_messages_gets_it",
    "F22": "test_f22_a_clock_that_jumps_neither_delays_nor_loses_nor_repeats",
    # Answers
    "F23": "test_f23_an_aa_with_the_wrong_msa_2_is_never_success",
    "F24": "test_f24_an_aa_without_msa_2_is_never_success",
    "F25": "test_f25_an_empty_frame_is_never_success",
    "F26": "test_f26_what_is_not_hl7_is_never_success",
    "F27": "test_f27_a_frame_without_vt_is_never_success",
    "F28": "test_f28_ae_holds_its_lane_alone_until_a_newer_message_says_all_of_it",
    "F29": "test_f29_ar_is_tried_again_as_the_same_bytes",
    "F30": "test_f30_ce_holds_its_lane",
    "F31": "test_f31_cr_because_of_the_processing_id_pauses_at_once",
    "F32": "test_f32_a_code_that_is_in_no_table_is_never_success",
    "F33": "test_f33_an_aa_with_an_err_segment_is_success",
    "F34": "test_f34_an_ack_in_other_delimiters_or_another_charset_is_read",
    "F35": "test_f35_a_ca_and_then_an_aa_closes_both_axes",
    "F36": "test_f36_a_second_ack_of_the_same_message_changes_nothing",
    "F37": "test_f37_a_message_of_another_type_on_the_socket_answers_nothing",
    "F38": "test_f38_an_aa_of_what_is_then_not_filed_is_told_as_aa_and_as_no_more",
    # Process, store and settings
    "F39": "test_f39_a_feed_that_is_killed_at_any_instant_loses_nothing_and_repeats_what_was_in_hand",
    "F40": "test_f40_after_a_power_loss_at_any_send_the_disk_knows_what_was_on_the_wire",
    "F41": "test_f41_a_full_disk_between_a_message_and_its_result_repeats_nothing",
    "F42": "test_f42_a_database_that_is_busy_while_an_answer_comes_repeats_nothing",
    "F43": "test_f43_a_holder_that_slept_for_twice_its_lease_writes_no_byte_and_no_row",
    "F44": "test_f44_a_failover_in_the_middle_of_a_frame_sends_the_whole_of_it_again",
    "F45": "test_f45_what_waits_while_the_next_release_migrates_and_this_one_comes_back_is_sent_once",
    "F46": "test_f46_what_is_queued_leaves_as_it_was_made_whatever_the_settings_say_by_now",
    "F47": "test_f47_a_client_certificate_that_is_swapped_is_shown_with_the_next_connection",
    "F48": "test_f48_a_message_that_no_receiver_survives_holds_its_own_lane_alone",
    "F49": "test_f49_a_backlog_leaves_in_its_order_and_is_not_held_in_memory",
    "F50": "test_f50_what_an_operator_sends_again_follows_what_is_on_its_way_under_an_id_of_its_own",
    # Content
    "F51": "test_f51_every_character_is_read_as_it_was_signed",
    "F52": "test_f52_what_latin_1_cannot_hold_is_spelled_out_and_never_turns_into_another_number",
    "F53": "test_f53_no_text_is_too_long",
    "F54": "test_f54_a_pdf_that_comes_in_time_goes_with_its_text",
    "F55": "test_f55_a_report_is_sent_though_something_of_its_patient_is_not_said",
    "F56": "test_f56_a_name_in_any_form_reaches_the_receiver_whole",
    "F57": "test_f57_a_time_that_cannot_be_is_not_made_up",
    "F58": "test_f58_a_height_that_cannot_be_is_left_out_and_nothing_else_is",
    # Order
    "F59": "test_f59_an_addendum_seen_before_its_original_is_restated_with_it",
    "F60": "test_f60_of_two_addenda_that_come_in_the_wrong_order_none_is_lost",
    "F61": "test_f61_a_correction_takes_the_place_of_a_final_that_is_still_refused",
    "F62": "test_f62_a_draft_that_was_not_taken_gives_way_to_the_final",
    "F63": "test_f63_an_addendum_that_is_given_up_before_it_is_signed_says_nothing",
    "F64": "test_f64_a_study_that_is_cancelled_after_it_was_signed_says_nothing_by_itself",
    "F65": "test_f65_an_event_that_comes_twice_or_of_no_known_study_or_not_at_all_neither_repeats_nor_loses",
    "F66": "test_f66_one_of_five_destinations_that_is_down_for_three_days_costs_the_others_nothing",
    "F67": "test_f67_a_patient_that_is_another_than_the_one_told_of_is_told_to_nobody",
    "F68": "test_f68_each_flip_of_a_critical_result_is_told_in_its_order",
    # The lease for sending
    "F69": "test_f69_f70_a_holder_that_stands_still_while_it_connects_writes_nothing",
    "F70": "test_f69_f70_a_holder_that_stands_still_while_it_connects_writes_nothing",
    "F71": "test_f71_an_answer_that_comes_when_the_database_is_frozen_is_written_down_and_nothing_goes_twice",
    "F72": "test_f72_what_a_holder_wrote_that_slept_while_it_wrote_is_put_right",
}

PARTLY: Final[dict[str, str]] = {
    "F2": "a queue of connections that is full: no packets are dropped on this machine",
    "F10": "a peer that neither reads nor answers: from the sender's side the same as packets that are dropped",
    "F13": "renegotiation: TLS 1.3 has none, and Python's ssl begins none in TLS 1.2",
    "F14": "the error of connect(2): a process really out of files could not run the test",
    "F19": "every offset is tried by test_an_acknowledgement_may_come_in_two_pieces_cut_anywhere, some here",
    "F38": "nothing on the wire tells of it: an AA is all that there is",
}

EXEMPT: Final[dict[str, str]] = {}
