//! What the provider sells: regions, sizes and base images. A small part of the real catalogue, with its slugs.

use serde_json::{Value, json};

pub(super) struct Region {
    pub(super) slug: &'static str,
    name: &'static str,
}

pub(super) struct Size {
    pub(super) slug: &'static str,
    pub(super) memory_mb: u32,
    pub(super) vcpus: u32,
    pub(super) disk_gb: u32,
    transfer_tb: u32,
    price_monthly: u32,
    regions: &'static [&'static str],
    pub(super) gpu: bool,
}

pub(super) struct BaseImage {
    pub(super) id: i64,
    pub(super) slug: &'static str,
    pub(super) name: &'static str,
    pub(super) distribution: &'static str,
}

const EVERYWHERE: &[&str] = &[
    "ams3", "blr1", "fra1", "lon1", "nyc1", "nyc3", "sfo3", "sgp1", "syd1", "tor1",
];

const fn region(slug: &'static str, name: &'static str) -> Region {
    Region { slug, name }
}

pub(super) static REGIONS: [Region; 10] = [
    region("ams3", "Amsterdam 3"),
    region("blr1", "Bangalore 1"),
    region("fra1", "Frankfurt 1"),
    region("lon1", "London 1"),
    region("nyc1", "New York 1"),
    region("nyc3", "New York 3"),
    region("sfo3", "San Francisco 3"),
    region("sgp1", "Singapore 1"),
    region("syd1", "Sydney 1"),
    region("tor1", "Toronto 1"),
];

const fn size(slug: &'static str, gb: u32, vcpus: u32, disk: u32, tb: u32, usd: u32) -> Size {
    Size {
        slug,
        memory_mb: if gb == 0 { 512 } else { gb * 1024 },
        vcpus,
        disk_gb: disk,
        transfer_tb: tb,
        price_monthly: usd,
        regions: EVERYWHERE,
        gpu: false,
    }
}

pub(super) static SIZES: [Size; 9] = [
    Size {
        regions: &["ams3", "fra1", "nyc1", "sfo3", "sgp1", "syd1"],
        ..size("s-1vcpu-512mb-10gb", 0, 1, 10, 1, 4)
    },
    size("s-1vcpu-1gb", 1, 1, 25, 1, 6),
    size("s-1vcpu-2gb", 2, 1, 50, 2, 12),
    size("s-2vcpu-2gb", 2, 2, 60, 3, 18),
    size("s-2vcpu-4gb", 4, 2, 80, 4, 24),
    size("s-4vcpu-8gb", 8, 4, 160, 5, 48),
    size("s-8vcpu-16gb", 16, 8, 320, 6, 96),
    Size {
        regions: &["fra1", "nyc3", "sfo3"],
        ..size("c-4", 8, 4, 50, 5, 84)
    },
    Size {
        regions: &["tor1", "nyc3"],
        gpu: true,
        ..size("gpu-h100x1-80gb", 240, 20, 720, 15, 2_522)
    },
];

const fn image(id: i64, slug: &'static str, name: &'static str, distribution: &'static str) -> BaseImage {
    BaseImage {
        id,
        slug,
        name,
        distribution,
    }
}

pub(super) static IMAGES: [BaseImage; 6] = [
    image(155_133_621, "ubuntu-24-04-x64", "24.04 (LTS) x64", "Ubuntu"),
    image(129_211_873, "ubuntu-22-04-x64", "22.04 (LTS) x64", "Ubuntu"),
    image(203_555_501, "debian-13-x64", "13 x64", "Debian"),
    image(133_690_216, "debian-12-x64", "12 x64", "Debian"),
    image(191_888_402, "fedora-42-x64", "42 x64", "Fedora"),
    image(166_407_044, "gpu-h100x1-base", "AI/ML Ready H100x1", "Ubuntu"),
];

pub(super) fn find_size(slug: &str) -> Option<&'static Size> {
    SIZES.iter().find(|size| size.slug == slug)
}

/// The region with this slug, or the first whose slug begins with it: `nyc` lets the provider choose.
pub(super) fn find_region(slug_or_prefix: &str) -> Option<&'static Region> {
    let exact = REGIONS.iter().find(|region| region.slug == slug_or_prefix);
    let of_prefix = || {
        let prefixed = |region: &&Region| region.slug.starts_with(slug_or_prefix);
        REGIONS.iter().find(prefixed)
    };
    match slug_or_prefix.len() {
        0..3 => None,
        3 => of_prefix(),
        _ => exact,
    }
}

impl Size {
    pub(super) fn offered_in(&self, region: &str) -> bool {
        self.regions.contains(&region)
    }

    pub(super) fn json(&self) -> Value {
        let mut value = json!({
            "slug": self.slug,
            "memory": self.memory_mb,
            "vcpus": self.vcpus,
            "disk": self.disk_gb,
            "transfer": f64::from(self.transfer_tb),
            "price_monthly": f64::from(self.price_monthly),
            "price_hourly": f64::from(self.price_monthly) / 672.0,
            "regions": self.regions,
            "available": true,
            "description": if self.gpu { "H100 GPU - 1X" } else { "Basic" },
            "disk_info": self.disk_info(),
        });
        if self.gpu {
            value["gpu_info"] = Self::gpu_info();
        }
        value
    }

    pub(super) fn disk_info(&self) -> Value {
        json!([{"type": "local", "size": {"amount": self.disk_gb, "unit": "gib"}}])
    }

    pub(super) fn gpu_info() -> Value {
        json!({"count": 1, "model": "nvidia_h100", "vram": {"amount": 80, "unit": "gib"}})
    }
}

impl Region {
    pub(super) fn json(&self, available: bool) -> Value {
        let sizes = SIZES.iter().filter(|size| size.offered_in(self.slug));
        json!({
            "name": self.name,
            "slug": self.slug,
            "features": ["backups", "ipv6", "metadata", "install_agent", "storage", "image_transfer"],
            "available": available,
            "sizes": sizes.map(|size| size.slug).collect::<Vec<_>>(),
        })
    }
}

impl BaseImage {
    pub(super) fn json(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "type": "base",
            "distribution": self.distribution,
            "slug": self.slug,
            "public": true,
            "regions": EVERYWHERE,
            "created_at": "2025-03-04T10:15:30Z",
            "min_disk_size": 7,
            "size_gigabytes": 0.66,
            "description": format!("{} {}", self.distribution, self.name),
            "tags": [],
            "status": "available",
            "error_message": "",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_named_in_full_or_by_its_three_letters() {
        let slug = |query| find_region(query).map(|region| region.slug);
        assert_eq!(slug("fra1"), Some("fra1"));
        assert_eq!(slug("nyc"), Some("nyc1"));
        assert_eq!(slug("fra2"), None);
        assert_eq!(slug("ny"), None);
        assert_eq!(slug(""), None);
    }

    #[test]
    fn every_size_and_image_is_found_by_its_own_slug_only() {
        for size in &SIZES {
            assert!(find_size(size.slug).is_some_and(|found| found.slug == size.slug));
        }
        let mut ids: Vec<i64> = IMAGES.iter().map(|image| image.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), IMAGES.len());
    }
}
