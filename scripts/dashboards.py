"""Writes Grafana's two dashboards: what a person on call looks at first stands at the top.

Run `python scripts/dashboards.py deploy/grafana/dashboards` after changing one; a test says when it is due, and that
every metric that a panel reads is exported.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from scripts.grafana import Dashboard, Panel, Row, document

SITE = 'site=~"$site"'
RATE = "$__rate_interval"


def _state(metric: str, by: str, labels: str = SITE) -> str:
    """A state gauge: alike from every process of a service."""
    return f"sum by ({by}) (max without (instance) ({metric}{{{labels}}}))"


def _rate(counter: str, by: str, labels: str = SITE) -> str:
    return f"sum by ({by}) (rate({counter}{{{labels}}}[{RATE}]))"


def _age(metric: str, by: str, labels: str = SITE) -> str:
    return f"time() - (max by ({by}) ({metric}{{{labels}}}) > 0)"


def _stat(title: str, expr: str, *, red: float | None, unit: str = "short", about: str = "") -> Panel:
    return Panel(title, [(expr, "")], kind="stat", unit=unit, width=4, height=4, red=red, about=about)


_DURATION = "selaras_sync_duration_seconds_bucket"
_BACKUPS = ("selaras_backup", "selaras_central_backup")

SYNCS = Dashboard(
    "selaras-syncs",
    "syncs.json",
    "Selaras · sinkronisasi · syncs",
    [
        Row(
            "Sekarang · now",
            [
                _stat("Menunggu · pending", f"sum({_state('selaras_sync_pending', 'site')}) or vector(0)", red=None),
                _stat(
                    "Tertua menunggu · oldest pending",
                    f"max({_age('selaras_sync_oldest_pending_timestamp_seconds', 'site')}) or vector(0)",
                    red=3600, unit="s",
                ),
                _stat(
                    "Gagal · failed", f"sum({_state('selaras_sync_failed', 'site')}) or vector(0)", red=1,
                    about="Sekolah yang sesi terakhirnya gagal · schools whose latest session failed: "
                    "selaras status --failed",
                ),
                _stat("Ditolak · refused", f"sum({_state('selaras_sync_refused', 'site')}) or vector(0)", red=None,
                      about="Urusan operator · mostly the operators' business"),
                _stat("Karantina · quarantine", f"sum({_state('selaras_dead_letters', 'site')}) or vector(0)", red=1,
                      about="selaras dead list"),
                _stat(
                    "Invarian dilanggar · invariants violated",
                    f"(sum(selaras_invariant_violations_total{{{SITE}}}) or vector(0)) + "
                    f"(sum(selaras_central_invariant_violations_total{{{SITE}}}) or vector(0))",
                    red=1,
                ),
            ],
        ),
        Row(
            "Yang menunggu dan yang gagal · what waits, what failed and why",
            [
                Panel("Alarm menyala · alerts firing", [('ALERTS{alertstate="firing"}', "")], kind="table"),
                Panel("Menunggu menurut keadaan · pending by state",
                      [(_state("selaras_sync_pending", "kind, state"), "{{kind}} {{state}}")], stacked=True),
                Panel("Umur yang tertua · age of the oldest",
                      [(_age("selaras_sync_oldest_pending_timestamp_seconds", "kind"), "{{kind}}")], unit="s"),
                Panel("Gagal menurut sebab · failed by reason",
                      [(_state("selaras_sync_failed", "kind, reason"), "{{kind}} {{reason}}")], stacked=True),
                Panel("Ditolak menurut sebab · refused by reason",
                      [(_state("selaras_sync_refused", "kind, reason"), "{{kind}} {{reason}}")], stacked=True),
                Panel("Sejak keberhasilan terakhir · since the latest success",
                      [(_age("selaras_sync_last_success_timestamp_seconds", "site, kind"), "{{site}} {{kind}}")],
                      unit="s"),
            ],
        ),
        Row(
            "Laju · throughput",
            [
                Panel("Sesi selesai per detik · sessions ended per second",
                      [(_rate("selaras_sync_completed_total", "kind, outcome"), "{{kind}} {{outcome}}")], unit="ops",
                      stacked=True),
                Panel("Bagian yang gagal, 10 menit · share that failed, 10 minutes",
                      [(f"site_kind:selaras_sync_failures:ratio10m{{{SITE}}}", "{{site}} {{kind}}")],
                      unit="percentunit", red=0.05),
                Panel("Kegagalan per detik · failures per second",
                      [(_rate("selaras_sync_failures_total", "kind, reason"), "{{kind}} {{reason}}"),
                       (_rate("selaras_sync_attempts_total", "kind"), "{{kind}} semua · attempts")], unit="ops"),
                Panel("Record per putusan · records by verdict",
                      [(_rate("selaras_records_total", "kind, verdict"), "{{kind}} {{verdict}}")], unit="ops",
                      stacked=True),
                Panel("Di pusat per putusan · at central by verdict",
                      [(_rate("selaras_central_records_total", "verdict"), "{{verdict}}")], unit="ops", stacked=True),
                Panel("Pusat menyuruh kembali · central said come back",
                      [(_rate("selaras_admission_deferred_total", "reason"), "{{reason}}"),
                       (_rate("selaras_central_sessions_total", "kind"), "{{kind}} diterima · granted")], unit="ops"),
            ],
        ),
        Row(
            "Lamanya · how long it takes",
            [
                Panel("Sebaran lama sync · durations of syncs",
                      [(f'sum by (le) (increase({_DURATION}{{{SITE},kind="sync"}}[{RATE}]))', "{{le}}")],
                      kind="heatmap", unit="s", width=12),
                Panel(
                    "Kuantil · quantiles",
                    [
                        (f"histogram_quantile({q}, sum by (le, kind) (rate({_DURATION}{{{SITE}}}[{RATE}])))",
                         f"{{{{kind}}}} p{round(q * 100)}")
                        for q in (0.5, 0.95, 0.99)
                    ],
                    unit="s", width=12,
                ),
            ],
        ),
        Row(
            "Sekolah dan datanya · schools and their data",
            [
                Panel("Sekolah menurut keadaan · schools by state",
                      [(_state("selaras_schools", "state"), "{{state}}")], stacked=True),
                Panel("Temuan yang menutup, menurut aturan · what blocks, by rule",
                      [(f"topk(15, {_state('selaras_invalid_findings', 'rule')})", "{{rule}}")], kind="bargauge"),
                Panel("Konflik yang menunggu · conflicts that wait",
                      [(_state("selaras_conflicts_open", "entity"), "{{entity}}")], stacked=True),
                Panel("Record belum terkirim · unsent records",
                      [(_state("selaras_pending_records", "entity"), "{{entity}}")], stacked=True),
                Panel("Umur yang tertua · age of the oldest of them",
                      [(_age("selaras_pending_oldest_timestamp_seconds", "site"), "{{site}}")], unit="s",
                      red=3 * 86400),
                Panel("Validasi diminta · validations asked for",
                      [(_rate("selaras_validation_runs_total", "verdict"), "{{verdict}}")], unit="ops"),
                Panel("Karantina · quarantine",
                      [(_state("selaras_dead_letters", "site, queue, reason"), "{{site}} {{queue}} {{reason}}")],
                      stacked=True),
                Panel("Akar berbeda · roots that differed",
                      [(f"sum by (entity) (increase(selaras_divergence_total{{{SITE}}}[1h]))", "{{entity}}"),
                       (f"sum(increase(selaras_central_divergence_total{{{SITE}}}[1h]))", "pusat · central")]),
                Panel("Baris yang dibetulkan · rows mended",
                      [(f"sum by (entity, side) (increase(selaras_repaired_records_total{{{SITE}}}[1h]))",
                        "{{entity}} {{side}}"),
                       (f"sum by (entity) (increase(selaras_central_repaired_records_total{{{SITE}}}[1h]))",
                        "{{entity}} pusat · central")]),
            ],
        ),
        Row(
            "Cadangan · backups",
            [
                Panel("Umur yang terbaru · age of the newest",
                      [(_age(f"{metric}_last_success_timestamp_seconds", "site"), "{{site}}") for metric in _BACKUPS],
                      unit="s"),
                Panel("Besarnya · its size",
                      [(f"max by (site) ({metric}_last_success_bytes{{{SITE}}})", "{{site}}") for metric in _BACKUPS],
                      unit="bytes"),
                Panel("Lamanya · how long it took",
                      [(f"max by (site) ({metric}_last_success_duration_seconds{{{SITE}}})", "{{site}}")
                       for metric in _BACKUPS], unit="s"),
                Panel("Gagal sejak yang terbaru · failed since the newest",
                      [(f"max by (site) ({metric}_failing{{{SITE}}})", "{{site}}") for metric in _BACKUPS], red=1),
                Panel("Kegagalan dan percobaan, 1 hari · failures and attempts, 1 day",
                      [(f"sum by (site, reason) (increase({metric}_failures_total{{{SITE}}}[1d]))",
                        "{{site}} {{reason}}") for metric in _BACKUPS]
                      + [(f"sum by (site) (increase({metric}_attempts_total{{{SITE}}}[1d]))",
                          "{{site}} semua · attempts") for metric in _BACKUPS]),
            ],
        ),
        Row(
            "Pusat · central",
            [
                Panel("Sekolah di pusat · schools at central",
                      [(_state("selaras_central_schools", "state"), "{{state}}")], stacked=True),
                Panel("Validasi pusat · central's own verdicts",
                      [(_state("selaras_central_verdict_schools", "verdict"), "{{verdict}}")], stacked=True),
                Panel("Temuan validasi pusat · what those verdicts found",
                      [(f"topk(15, {_state('selaras_central_invalid_findings', 'rule')})", "{{rule}}")],
                      kind="bargauge"),
                Panel("Pekerjaan sendiri · what central has to do by itself",
                      [(_state("selaras_central_background_pending", "work"), "{{work}}")]),
                Panel("Umurnya · its age",
                      [(_age("selaras_central_background_oldest_timestamp_seconds", "work"), "{{work}}")], unit="s"),
                Panel("Residu ditulis · residu written",
                      [(_rate("selaras_central_residu_total", "rule, state"), "{{rule}} {{state}}")], unit="ops"),
            ],
        ),
        Row(
            "Pusat dipulihkan dari cadangan · central put back from a backup",
            [
                _stat("Hidup ke- · life number", f"max(selaras_central_lives{{{SITE}}})", red=None,
                      about="1: belum pernah dipulihkan · never put back"),
                _stat("Dimulai · began", f"max({_age('selaras_central_life_begun_timestamp_seconds', 'site')})",
                      red=None, unit="s", about="yang lalu · ago"),
                Panel("Sekolah yang belum terlihat · schools not seen yet",
                      [(_state("selaras_central_schools_unseen", "site"), "{{site}}")],
                      about="selaras central report"),
                Panel("Kembali dari sekolah · came back from schools",
                      [(_rate("selaras_central_given_back_records_total", "outcome"), "{{outcome}}")], unit="ops",
                      stacked=True),
                Panel("Menunggu petugas · wait for officers",
                      [(_state("selaras_central_listed", "outcome"), "{{outcome}}")], stacked=True, red=1,
                      about="selaras central listed"),
            ],
        ),
    ],
)  # fmt: skip

OURS = 'job=~"validator|syncer|puller|central"'
_P95 = "histogram_quantile(0.95, sum by (le, app_name, {label}) (rate({metric}_bucket{{{site}}}[{rate}])))"

SERVICES = Dashboard(
    "selaras-services",
    "services-and-broker.json",
    "Selaras · layanan dan broker · services and broker",
    [
        Row(
            "Sekarang · now",
            [
                Panel("Terlihat · seen", [('max by (job, instance) (up{job!=""})', "{{job}} {{instance}}")],
                      kind="stat", width=12, height=4, about="0: metriknya tidak terbaca · its metrics cannot be read"),
                _stat("Alarm memori · memory alarm", "max(rabbitmq_alarms_memory_used_watermark)", red=1),
                _stat("Alarm penyimpanan · disk alarm", "max(rabbitmq_alarms_free_disk_space_watermark)", red=1),
                _stat("Memori dari batas · memory of its limit",
                      "max(rabbitmq_process_resident_memory_bytes / rabbitmq_resident_memory_limit_bytes)",
                      red=0.8, unit="percentunit"),
            ],
        ),
        Row(
            "Antrean · queues",
            [
                Panel("Siap · ready",
                      [("sum by (queue) (rabbitmq_detailed_queue_messages_ready)", "{{queue}}")], stacked=True),
                Panel("Belum diakui · unacknowledged",
                      [("sum by (queue) (rabbitmq_detailed_queue_messages_unacked)", "{{queue}}")], stacked=True),
                Panel("Konsumen · consumers", [("sum by (queue) (rabbitmq_detailed_queue_consumers)", "{{queue}}")],
                      about="0 pada antrean layanan: tidak ada yang mengambil · nobody takes from it"),
            ],
        ),
        Row(
            "Broker",
            [
                Panel("Memori · memory",
                      [("rabbitmq_process_resident_memory_bytes", "terpakai · used"),
                       ("rabbitmq_resident_memory_limit_bytes", "batas · limit")], unit="bytes"),
                Panel("Penyimpanan bebas · free disk",
                      [("rabbitmq_disk_space_available_bytes", "bebas · free"),
                       ("rabbitmq_disk_space_available_limit_bytes", "batas · limit")], unit="bytes"),
                Panel("Sambungan · connections",
                      [("rabbitmq_connections", "sambungan · connections"), ("rabbitmq_channels", "kanal · channels")]),
                Panel("Masuk dan keluar · in and out",
                      [(f"sum(rate(rabbitmq_global_messages_received_total[{RATE}]))", "masuk · received"),
                       (f"sum(rate(rabbitmq_global_messages_delivered_total[{RATE}]))", "keluar · delivered"),
                       (f"sum(rate(rabbitmq_global_messages_acknowledged_total[{RATE}]))", "diakui · acknowledged")],
                      unit="ops"),
                Panel("Kembali dan buntu · redelivered and dead-lettered",
                      [(f"sum(rate(rabbitmq_global_messages_redelivered_total[{RATE}]))", "ulang · redelivered"),
                       (f"sum(rate(rabbitmq_global_messages_dead_lettered_delivery_limit_total[{RATE}]))",
                        "batas pengiriman · delivery limit"),
                       (f"sum(rate(rabbitmq_global_messages_unroutable_returned_total[{RATE}]))",
                        "tanpa tujuan · unroutable")], unit="ops"),
                Panel("Berkas terbuka · open files",
                      [("rabbitmq_process_open_fds", "terbuka · open"), ("rabbitmq_process_max_fds", "batas · limit")]),
            ],
        ),
        Row(
            "Pesan · messages",
            [
                Panel("Diambil · taken",
                      [(_rate("faststream_received_messages_total", "app_name, handler"), "{{app_name}} {{handler}}")],
                      unit="ops", stacked=True),
                Panel("Bagaimana selesainya · how they ended",
                      [(_rate("faststream_received_processed_messages_total", "app_name, status"),
                        "{{app_name}} {{status}}")], unit="ops", stacked=True),
                Panel("Di tangan · in hand",
                      [(f"sum by (app_name, handler) (faststream_received_messages_in_process{{{SITE}}})",
                        "{{app_name}} {{handler}}")]),
                Panel("Lama menangani, p95 · time to handle, p95",
                      [(_P95.format(metric="faststream_received_processed_messages_duration_seconds", label="handler",
                                    site=SITE, rate=RATE), "{{app_name}} {{handler}}")], unit="s"),
                Panel("Terbit · published",
                      [(_rate("faststream_published_messages_total", "app_name, destination, status"),
                        "{{app_name}} {{destination}} {{status}}")], unit="ops"),
                Panel("Lama penerbitan, p95 · time to publish, p95",
                      [(_P95.format(metric="faststream_published_messages_duration_seconds", label="destination",
                                    site=SITE, rate=RATE), "{{app_name}} {{destination}}")], unit="s"),
                Panel("Penerbitan yang gagal · publishing that failed",
                      [(_rate("faststream_published_messages_exceptions_total", "app_name, exception_type"),
                        "{{app_name}} {{exception_type}}")], unit="ops"),
                Panel("Penanganan yang gagal · handling that failed",
                      [(_rate("faststream_received_processed_messages_exceptions_total", "app_name, exception_type"),
                        "{{app_name}} {{exception_type}}")], unit="ops"),
                Panel("Besar pesan, p95 · size, p95",
                      [(_P95.format(metric="faststream_received_messages_size_bytes", label="handler", site=SITE,
                                    rate=RATE), "{{app_name}} {{handler}}")], unit="bytes"),
            ],
        ),
        Row(
            "Proses · processes",
            [
                Panel("Memori · memory",
                      [(f"process_resident_memory_bytes{{{OURS}}}", "{{job}} {{instance}}")], unit="bytes",
                      red=150_000_000),
                Panel("Prosesor · processor",
                      [(f"rate(process_cpu_seconds_total{{{OURS}}}[{RATE}])", "{{job}} {{instance}}")],
                      unit="percentunit"),
                Panel("Berkas terbuka · open files", [(f"process_open_fds{{{OURS}}}", "{{job}} {{instance}}")]),
                Panel("Berjalan sejak · up for",
                      [(f"time() - process_start_time_seconds{{{OURS}}}", "{{job}} {{instance}}")], unit="s"),
                Panel("Sampah dikumpulkan · garbage collected",
                      [(f"sum by (job) (rate(python_gc_collections_total{{{OURS}}}[{RATE}]))", "{{job}}")],
                      unit="ops"),
                Panel("Versi · versions",
                      [(f"count by (site, service, version, protocol, rules) (selaras_build_info{{{SITE}}})", "")],
                      kind="table"),
            ],
        ),
    ],
)  # fmt: skip

DASHBOARDS = (SYNCS, SERVICES)


def pages() -> dict[str, str]:
    """File name → content."""
    return {
        one.file: json.dumps(document(one), indent=1, ensure_ascii=False, sort_keys=True) + "\n" for one in DASHBOARDS
    }


def write(folder: Path) -> None:
    """Write both."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in pages().items():
        (folder / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
